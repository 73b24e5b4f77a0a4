import { addByRow, gatherRows, tf, type Tensor1D } from "@plumbline/runtime"

/**
 * Sums of the tokens of each row, in two stages: a long sum of log-probs would lose its last digits otherwise.
 *
 * @param values [M] float32, one a scored token
 * @param rows   [M] row of each token, host data
 * @param count  R, rows in the batch; a row without tokens sums to 0
 * @returns      [R] float32
 */
export const sumByRow = (values: Tensor1D, rows: Int32Array, count: number): Tensor1D => {
  const longest = countByRow(rows, count).reduce((most, length) => Math.max(most, length), 0)
  const { partOf, rowOf } = parts(rows, count, Math.ceil(Math.sqrt(longest)))
  return addByRow(addByRow(values, partOf, rowOf.length), Int32Array.from(rowOf), count)
}

/** Each row's tokens in parts of at most `size`: the part of each token, and the row of each part. */
const parts = (rows: Int32Array, count: number, size: number) => {
  const seen = new Int32Array(count)
  const open = new Int32Array(count)
  const rowOf: Array<number> = []
  const partOf = rows.map((row) => {
    if (seen[row]!++ % size === 0) open[row] = rowOf.push(row) - 1
    return open[row]!
  })
  return { partOf, rowOf }
}

/** Scored tokens of each row: [R], host data. */
export const countByRow = (rows: Int32Array, count: number): Float32Array => {
  const lengths = new Float32Array(count)
  for (const row of rows) lengths[row]! += 1
  return lengths
}

/** Means of the tokens of each row; every row must have a token. Shapes as in `sumByRow`. */
export const meanByRow = (values: Tensor1D, rows: Int32Array, count: number): Tensor1D =>
  tf.div(sumByRow(values, rows, count), tf.tensor1d(countByRow(rows, count)))

/**
 * Each row's number at all of its tokens; its gradient sums over them.
 *
 * @param values [R] float32
 * @param rows   [M] row of each token, host data
 * @returns      [M] float32
 */
export const spreadByRow = (values: Tensor1D, rows: Int32Array): Tensor1D =>
  tf.reshape(gatherRows(tf.reshape(values, [-1, 1]), rows), [-1])
