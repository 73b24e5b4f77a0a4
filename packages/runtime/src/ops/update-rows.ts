import { fused, hasKernel, UPDATE_ROWS } from "../kernels/names.ts"
import { tf, type Tensor } from "../tf.ts"

/**
 * `target` with the rows `index` of its first axis replaced by the rows of `source`, in order. Consumes `target`:
 * it is disposed, and its memory is reused where nothing else refers to it. Not differentiable.
 *
 * @param target [N, …] float32
 * @param index  [M] rows in [0, N), each at most once, host data
 * @param source [M, …] float32
 * @returns      [N, …] float32
 */
export const updateRows = <T extends Tensor>(target: T, index: Int32Array, source: Tensor): T => {
  const result = hasKernel(UPDATE_ROWS)
    ? fused<T>(UPDATE_ROWS, { target, source }, { index })
    : composedUpdateRows(target, index, source)
  target.dispose()
  return result
}

/** Gathers every row from the two laid end to end, so the target is copied once. */
export const composedUpdateRows = <T extends Tensor>(target: T, index: Int32Array, source: Tensor): T => {
  const rows = target.shape[0]!
  const from = Int32Array.from({ length: rows }, (_, row) => row)
  index.forEach((row, i) => (from[row] = rows + i))
  return tf.tidy(() => tf.gather(tf.concat([target, source] as Array<Tensor>, 0), tf.tensor1d(from, "int32")) as T)
}
