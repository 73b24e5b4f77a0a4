import { tf, type Tensor1D } from "@plumbline/runtime"
import { type Surrogate, unclipped } from "./surrogate.ts"

export interface SapoOptions {
  /** τ of tokens with a positive advantage; 1 is the paper's. */
  readonly positive: number
  /** τ of the others, larger so that they fade sooner; 1.05 is the paper's. */
  readonly negative: number
}

/**
 * SAPO: a soft gate where PPO clips, steepest at a ratio of 1 and flat far from it:
 *
 *   L = −(4/τ)·σ(τ·(ρ − 1))·A
 *
 * @see Gao et al. 2025, eq. 6, https://arxiv.org/abs/2511.20347
 */
export const sapo = ({ negative, positive }: SapoOptions): Surrogate => ({
  name: "sapo",
  options: { positive, negative },
  perToken: ({ advantages, logRatios }) => {
    const temperatures = tf.where<Tensor1D>(
      tf.greater(advantages, 0),
      tf.fill(advantages.shape, positive) as Tensor1D,
      tf.fill(advantages.shape, negative) as Tensor1D
    )
    // ρ − 1 by expm1: near 1 nothing of it is lost
    const gates = tf.sigmoid(tf.mul(temperatures, tf.expm1(logRatios)))
    return {
      losses: tf.neg(tf.mul(tf.mul(tf.div(4, temperatures), gates), advantages)),
      ...unclipped(advantages)
    }
  }
})
