import { logSigmoid } from "@plumbline/numerics"
import { tf, type Tensor1D } from "@plumbline/runtime"
import { type Divergence, MAX_EXPONENT, reverseKl } from "./divergence.ts"
import type { PreferenceLoss } from "./preference-loss.ts"

export interface DiscopopOptions {
  /** Strength of the pull toward the reference policy. */
  readonly beta: number
  /** Width of the blend between both losses; the paper's is 0.05. */
  readonly temperature?: number
  /** Divergence whose score replaces the log-ratio. */
  readonly divergence?: Divergence
}

/**
 * The log-ratio-modulated loss that DiscoPOP found: logistic for pairs in the wrong order, exponential for the others.
 *
 *   L = −log σ(z)·(1 − m) + e^(−z)·m,   m = σ(z/τ),   z = β·(s(chosen) − s(rejected))
 *
 * With policy = reference every pair costs ½·ln 2 + ½.
 *
 * @see Lu et al. 2024, eq. 5, https://arxiv.org/abs/2406.08414
 */
export const discopop = ({ beta, divergence = reverseKl, temperature = 0.05 }: DiscopopOptions): PreferenceLoss => ({
  name: "discopop",
  options: { beta, temperature, divergence: divergence.name },
  beta,
  perPair: ({ chosen, rejected }) => {
    const logits = tf.mul<Tensor1D>(beta, tf.sub(divergence.score(chosen), divergence.score(rejected)))
    const blend = tf.div<Tensor1D>(logits, temperature)
    const logistic = tf.mul(tf.neg(logSigmoid(logits)), tf.sigmoid(tf.neg(blend)))
    // one exponent: e^(−z) alone overflows where m is 0
    const exponential = tf.exp(tf.minimum(tf.sub(logSigmoid(blend), logits), MAX_EXPONENT))
    return tf.add(logistic, exponential)
  }
})
