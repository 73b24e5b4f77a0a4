import { logSigmoid } from "@plumbline/numerics"
import { tf, type Tensor1D } from "@plumbline/runtime"

/**
 * An f-divergence in place of DPO's reverse KL: its score f′ stands where the log-ratio stood.
 *
 * @see Wang et al. 2023, Table 1, https://arxiv.org/abs/2309.16240
 */
export interface Divergence {
  readonly name: string
  /** f′ of a ratio given by its logarithm: [P] nats → [P]; 0 at log-ratio 0 up to a constant that cancels. */
  readonly score: (logRatio: Tensor1D) => Tensor1D
}

/** e⁸⁰ is the last power of e⁸ that float32 holds with room for products. */
export const MAX_EXPONENT = 80

const cappedExp = (x: Tensor1D): Tensor1D => tf.exp(tf.minimum(x, MAX_EXPONENT))

/** s(x) = x */
export const reverseKl: Divergence = { name: "reverse_kl", score: (x) => x }

/** s(x) = 1 − e^(−x) */
export const forwardKl: Divergence = { name: "forward_kl", score: (x) => tf.sub(1, cappedExp(tf.neg(x))) }

/** s(x) = ln 2 + log σ(x) */
export const jensenShannon: Divergence = {
  name: "js_divergence",
  score: (x) => tf.add(Math.LN2, logSigmoid(x))
}

/**
 * s(x) = (e^((α−1)·x) − 1) / (α − 1); its limit at α = 1 is reverse KL.
 *
 * @param alpha not 1: take `reverseKl` for that
 */
export const alphaDivergence = (alpha: number): Divergence => ({
  name: "alpha_divergence",
  score: (x) => tf.div(tf.sub(cappedExp(tf.mul(alpha - 1, x)), 1), alpha - 1)
})
