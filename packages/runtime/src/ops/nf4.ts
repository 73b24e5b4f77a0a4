import { DEQUANTIZE_NF4, fused, hasKernel, QUANTIZE_NF4 } from "../kernels/names.ts"
import { tf, type Tensor, type Tensor1D, type Tensor2D } from "../tf.ts"
import { customGradient } from "./custom-gradient.ts"
import { linear } from "./linear.ts"
import { NF4_BORDERS, NF4_LEVELS, type Nf4Values, packNf4, unpackNf4 } from "./nf4-values.ts"

/** A matrix in 4 bits a number. Owns its tensors. */
export interface Nf4Matrix {
  readonly shape: readonly [outputs: number, inputs: number]
  /** [⌈n/64⌉·8] int32, eight codes each, the first in the lowest bits */
  readonly codes: Tensor1D
  /** [⌈blocks/256⌉·64] int32, four 8-bit scales of blocks each, likewise */
  readonly scales: Tensor1D
  /** [⌈blocks/256⌉] float32, the scale of those scales */
  readonly outer: Tensor1D
  /** What each scale is above or below. */
  readonly mean: number
}

/** A matrix [O, I] in 4 bits, packed where the backend computes; the bits are those of `packNf4`. x stays the caller's. */
export const quantised = (x: Tensor2D): Nf4Matrix => {
  if (!hasKernel(QUANTIZE_NF4)) return nf4Matrix(x.shape, packNf4(x.dataSync() as Float32Array))
  const parts = fused<Array<Tensor>>(QUANTIZE_NF4, { x }, { borders: NF4_BORDERS })
  const [codes, scales, outer, mean] = parts as [Tensor1D, Tensor1D, Tensor1D, Tensor1D]
  const offset = mean.dataSync()[0]!
  mean.dispose()
  return { shape: x.shape, codes, scales, outer, mean: offset }
}

/** Puts packed values where the backend computes. */
const nf4Matrix = (shape: readonly [number, number], { codes, mean, outer, scales }: Nf4Values): Nf4Matrix => ({
  shape,
  codes: tf.tensor1d(codes, "int32"),
  scales: tf.tensor1d(scales, "int32"),
  outer: tf.tensor1d(outer),
  mean
})

/** The matrix [O, I] that the codes stand for, as the backend stores activations. */
export const dequantised = ({ codes, mean, outer, scales, shape }: Nf4Matrix): Tensor2D => {
  if (hasKernel(DEQUANTIZE_NF4)) {
    return fused<Tensor2D>(DEQUANTIZE_NF4, { codes, scales, outer }, { shape, mean, levels: NF4_LEVELS })
  }
  const [packed, inner] = [codes.dataSync() as Int32Array, scales.dataSync() as Int32Array]
  const values = unpackNf4({ codes: packed, scales: inner, outer: outer.dataSync() as Float32Array, mean })
  return tf.tensor2d(values.subarray(0, shape[0] * shape[1]), [...shape])
}

/**
 * x·Wᵀ with a frozen W in 4 bits, [N, I] → [N, O]. W is there for the length of a product, forward and again backward;
 * the tape keeps neither it nor x.
 *
 * @see Dettmers et al. 2023, https://arxiv.org/abs/2305.14314
 */
export const nf4Linear = (x: Tensor2D, matrix: Nf4Matrix): Tensor2D =>
  customGradient([x], ([rows]) => ({
    value: tf.tidy(() => linear(rows as Tensor2D, dequantised(matrix))),
    gradFunc: (dy) => [tf.tidy(() => tf.matMul(dy as Tensor2D, dequantised(matrix)))]
  })) as Tensor2D
