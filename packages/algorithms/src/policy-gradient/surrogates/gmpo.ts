import { tf, type Tensor1D } from "@plumbline/runtime"
import { both, rowMeans, type Surrogate } from "./surrogate.ts"

export interface GmpoOptions {
  /** Most that a token's log-ratio may add in the direction of its advantage, nats; 0.4 is the paper's. */
  readonly clipRange: number
}

/**
 * GMPO: the geometric mean of the tokens' ratios, each held in log space where the advantage would push it further:
 *
 *   L = −A·exp(mean_t s·min(s·log ρ_t, ε)),   s = sign(A)
 *
 * One ratio a response; meant for a mean over responses.
 *
 * @see Zhao et al. 2025, eq. 5, https://arxiv.org/abs/2507.20673
 */
export const gmpo = ({ clipRange }: GmpoOptions): Surrogate => ({
  name: "gmpo",
  options: { clipRange },
  perToken: (tokens) => {
    const { advantages, logRatios } = tokens
    const signs = tf.sign(advantages)
    const directed = tf.mul(signs, logRatios)
    const held = tf.mul(signs, tf.minimum(directed, clipRange))
    const past = tf.greater(directed, clipRange)
    return {
      losses: tf.neg(tf.mul(advantages, tf.exp(rowMeans(held as Tensor1D, tokens)))),
      clippedLow: both(tf.less(advantages, 0), past),
      clippedHigh: both(tf.greater(advantages, 0), past)
    }
  }
})
