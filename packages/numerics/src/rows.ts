import { tf, type Tensor1D } from "@plumbline/runtime"

/**
 * Sums of the tokens of each row.
 *
 * @param values [M] float32, one a scored token
 * @param rows   [M] row of each token, host data
 * @param count  R, rows in the batch; a row without tokens sums to 0
 * @returns      [R] float32
 */
export const sumByRow = (values: Tensor1D, rows: Int32Array, count: number): Tensor1D =>
  tf.unsortedSegmentSum(values, tf.tensor1d(rows, "int32"), count)

/** Scored tokens of each row: [R], host data. */
export const countByRow = (rows: Int32Array, count: number): Float32Array => {
  const lengths = new Float32Array(count)
  for (const row of rows) lengths[row]! += 1
  return lengths
}

/** Means of the tokens of each row; every row must have a token. Shapes as in `sumByRow`. */
export const meanByRow = (values: Tensor1D, rows: Int32Array, count: number): Tensor1D =>
  tf.div(sumByRow(values, rows, count), tf.tensor1d(countByRow(rows, count)))
