import { ADD_RMS_NORM, fused, hasKernel, LAYER_NORM, RMS_NORM } from "../kernels/names.ts"
import { tf, type Tensor, type Tensor1D, type Tensor2D } from "../tf.ts"

/**
 * x / √(mean(x²) + ε) · weight, over the last axis.
 *
 * @param x      [N, D] float32
 * @param weight [D] float32
 * @returns      [N, D] float32
 * @see Zhang & Sennrich 2019, https://arxiv.org/abs/1910.07467
 */
export const rmsNorm = (x: Tensor2D, weight: Tensor1D, epsilon: number): Tensor2D =>
  hasKernel(RMS_NORM) ? fused(RMS_NORM, { x, weight }, { epsilon }) : tf.tidy(() => composedRmsNorm(x, weight, epsilon))

export const composedRmsNorm = (x: Tensor2D, weight: Tensor1D, epsilon: number): Tensor2D =>
  tf.mul(tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), epsilon))), weight)

/**
 * The sum x + addend and its RMS norm; what a block of a decoder does with the output of the one before.
 *
 * @param x      [N, D] float32
 * @param addend [N, D] float32
 * @param weight [D] float32
 * @returns      [N, D] float32 each
 */
export const addRmsNorm = (
  x: Tensor2D,
  addend: Tensor2D,
  weight: Tensor1D,
  epsilon: number
): { readonly sum: Tensor2D; readonly normed: Tensor2D } => {
  if (!hasKernel(ADD_RMS_NORM)) {
    const sum = tf.add(x, addend) as Tensor2D
    return { sum, normed: rmsNorm(sum, weight, epsilon) }
  }
  const [sum, normed] = fused<Array<Tensor>>(ADD_RMS_NORM, { x, addend, weight }, { epsilon })
  return { sum: sum as Tensor2D, normed: normed as Tensor2D }
}

/**
 * (x − mean) / √(var + ε) · weight + bias, over the last axis.
 *
 * @param x      [N, D] float32
 * @param weight [D] float32
 * @param bias   [D] float32
 * @returns      [N, D] float32
 * @see Ba et al. 2016, https://arxiv.org/abs/1607.06450
 */
export const layerNorm = (x: Tensor2D, weight: Tensor1D, bias: Tensor1D, epsilon: number): Tensor2D =>
  hasKernel(LAYER_NORM)
    ? fused(LAYER_NORM, { x, weight, bias }, { epsilon })
    : tf.tidy(() => composedLayerNorm(x, weight, bias, epsilon))

export const composedLayerNorm = (x: Tensor2D, weight: Tensor1D, bias: Tensor1D, epsilon: number): Tensor2D => {
  const centred = tf.sub(x, tf.mean(x, -1, true))
  const scale = tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), epsilon))
  return tf.add(tf.mul(tf.mul(centred, scale), weight), bias)
}
