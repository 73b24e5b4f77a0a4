type Rows = ReadonlyArray<Array<number>>

/** Rotations of every pair; a few bring a matrix to rounding. */
const MOST_SWEEPS = 60
/** What is left beside the diagonal then, in float64. */
const ROUNDING = 1e-14

/**
 * Eigenvalues of a symmetric matrix, which is written over, from the largest on, and their vectors, by Jacobi's rotations.
 *
 * @see Golub & Van Loan, Matrix Computations, §8.5
 */
export const symmetricEigen = (matrix: Rows) => {
  const size = matrix.length
  const turns: Rows = matrix.map((_, i) => matrix.map((__, j) => (i === j ? 1 : 0)))
  const total = Math.sqrt(matrix.flat().reduce((sum, x) => sum + x * x, 0))
  for (let sweep = 0; sweep < MOST_SWEEPS; sweep++) {
    let off = 0
    for (let p = 0; p < size; p++) {
      for (let q = p + 1; q < size; q++) {
        off += Math.abs(matrix[p]![q]!)
        rotate(matrix, turns, p, q)
      }
    }
    if (off <= ROUNDING * total) break
  }
  const order = matrix.map((_, i) => i).toSorted((i, j) => matrix[j]![j]! - matrix[i]![i]!)
  return { values: order.map((i) => matrix[i]![i]!), vectors: order.map((i) => turns.map((row) => row[i]!)) }
}

/** Makes matrix[p][q] 0. */
const rotate = (matrix: Rows, turns: Rows, p: number, q: number): void => {
  const off = matrix[p]![q]!
  if (off === 0) return
  const ratio = (matrix[q]![q]! - matrix[p]![p]!) / (2 * off)
  const tangent = (ratio < 0 ? -1 : 1) / (Math.abs(ratio) + Math.hypot(ratio, 1))
  const cosine = 1 / Math.hypot(tangent, 1)
  const sine = tangent * cosine
  const turn = (x: number, y: number) => [cosine * x - sine * y, sine * x + cosine * y] as const
  for (const row of [...matrix, ...turns]) [row[p], row[q]] = turn(row[p]!, row[q]!)
  const [above, below] = [matrix[p]!, matrix[q]!]
  for (let k = 0; k < matrix.length; k++) [above[k], below[k]] = turn(above[k]!, below[k]!)
}
