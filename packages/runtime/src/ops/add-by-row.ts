import { EMBEDDING_GRADIENT, fused, hasKernel } from "../kernels/names.ts"
import { tf, type Tensor1D } from "../tf.ts"

/**
 * The sum of each row's values, in their order; rows without any are 0.
 *
 * @param values [N] float32
 * @param ids    [N] row of each value, in [0, rows), host data
 * @returns      [rows] float32
 */
export const addByRow = (values: Tensor1D, ids: Int32Array, rows: number): Tensor1D =>
  tf.tidy(() => {
    if (!hasKernel(EMBEDDING_GRADIENT)) return composedAddByRow(values, ids, rows)
    const columns = tf.reshape(values, [-1, 1])
    return tf.reshape(fused(EMBEDDING_GRADIENT, { dy: columns }, { ids, rows }), [rows])
  })

/** Its gradient reads the device for the least and the largest id. */
export const composedAddByRow = (values: Tensor1D, ids: Int32Array, rows: number): Tensor1D =>
  tf.unsortedSegmentSum(values, tf.tensor1d(ids, "int32"), rows)
