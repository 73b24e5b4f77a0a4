import { tf, type Tensor } from "@plumbline/runtime"

/**
 * log σ(x) = −softplus(−x), elementwise; finite and differentiable from −10⁴ to 10⁴.
 *
 * @param x any shape, float32, nats
 * @returns same shape, ≤ 0
 */
// not tf.logSigmoid: its gradient closes over a tensor that tidy has freed
export const logSigmoid = <T extends Tensor>(x: T): T => tf.neg(tf.softplus(tf.neg(x)))
