import { EMBEDDING_GRADIENT, fused, hasKernel } from "../kernels/names.ts"
import { tf, type Tensor, type Tensor1D, type Tensor2D } from "../tf.ts"

/**
 * The sum of each row's values, in their order; rows without any are 0.
 *
 * @param values [N] float32
 * @param ids    [N] row of each value, in [0, rows), host data
 * @returns      [rows] float32
 */
export const addByRow = (values: Tensor1D, ids: Int32Array, rows: number): Tensor1D =>
  tf.tidy(() => tf.reshape(addRowsById(tf.reshape(values, [-1, 1]), ids, rows), [rows]))

/**
 * Rows with equal ids added up, in their order; ids without any are 0.
 *
 * @param x   [N, D] float32
 * @param ids [N] in [0, rows), host data
 * @returns   [rows, D] float32
 */
export const addRowsById = (x: Tensor2D, ids: Int32Array, rows: number): Tensor2D =>
  hasKernel(EMBEDDING_GRADIENT)
    ? fused(EMBEDDING_GRADIENT, { dy: x }, { ids, rows })
    : tf.tidy(() => composedAddRowsById(x, ids, rows))

/** Its gradient reads the device for the least and the largest id. */
export const composedAddRowsById = <T extends Tensor>(x: T, ids: Int32Array, rows: number): T =>
  tf.unsortedSegmentSum(x, tf.tensor1d(ids, "int32"), rows)
