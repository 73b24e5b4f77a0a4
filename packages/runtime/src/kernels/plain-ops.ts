import type { Tensor, Tensor2D, Tensor3D } from "../tf.ts"
import { fused, IDENTITY, MATRIX_PRODUCT, RESHAPE } from "./names.ts"

// Ops of tfjs that a step of training asks for hundreds of times, without what tfjs does around their kernels, which takes
// longer than the kernels of a backend that only queues or shares. Differentiable as tfjs's.

/**
 * `tf.reshape`: the same values in another shape.
 *
 * @param shape of as many numbers as x has; one axis may be −1, which stands for what is left
 */
export function reshape(x: Tensor, shape: readonly [number, number]): Tensor2D
export function reshape(x: Tensor, shape: readonly [number, number, number]): Tensor3D
export function reshape<T extends Tensor>(x: Tensor, shape: T["shape"]): T
export function reshape(x: Tensor, shape: ReadonlyArray<number>): Tensor {
  return fused(RESHAPE, { x }, { shape })
}

/** `tf.clone`: another tensor of the same values. */
export const sameAs = <T extends Tensor>(x: T): T => fused(IDENTITY, { x })

/** `tf.matMul` of float32 matrices: a·b or aᵀ·b. */
export const product = (a: Tensor, b: Tensor, transposeA = false): Tensor =>
  fused(MATRIX_PRODUCT, { a, b }, { transposeA, transposeB: false })
