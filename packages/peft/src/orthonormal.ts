/**
 * `count` orthonormal vectors of `width` numbers from normal ones, by Gram-Schmidt done twice.
 *
 * @param draw the i-th number of the vectors end to end
 */
export const orthonormal = (draw: (index: number) => number, count: number, width: number): Array<Float64Array> => {
  const vectors = Array.from({ length: count }, (_, v) =>
    Float64Array.from({ length: width }, (__, i) => draw(v * width + i))
  )
  orthonormalize(vectors)
  return vectors
}

/** Makes the vectors orthonormal, in place and in their order; what depends on those before it becomes 0. */
export const orthonormalize = (vectors: ReadonlyArray<Float64Array>): void => {
  vectors.forEach((vector, v) => {
    const before = Math.sqrt(dot(vector, vector))
    for (let pass = 0; pass < 2; pass++) {
      for (const other of vectors.slice(0, v)) subtract(vector, other, dot(vector, other))
    }
    const norm = Math.sqrt(dot(vector, vector))
    const factor = norm > 1e-12 * before ? 1 / norm : 0
    for (let i = 0; i < vector.length; i++) vector[i]! *= factor
  })
}

export const dot = (a: Float64Array, b: Float64Array): number => {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!
  return sum
}

const subtract = (from: Float64Array, vector: Float64Array, share: number): void => {
  for (let i = 0; i < from.length; i++) from[i]! -= share * vector[i]!
}
