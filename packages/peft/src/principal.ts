import { type RandomStream, type Tensor2D, tf } from "@plumbline/runtime"
import { dot, orthonormalize } from "./orthonormal.ts"
import { symmetricEigen } from "./symmetric-eigen.ts"

/** The largest singular values of a matrix [O, I], with their vectors: W ≈ Σ σ_k · left_k · right_kᵀ. */
export interface PrincipalPart {
  /** From the largest on. */
  readonly values: ReadonlyArray<number>
  /** [O] each */
  readonly left: ReadonlyArray<Float64Array>
  /** [I] each */
  readonly right: ReadonlyArray<Float64Array>
}

type Vectors = ReadonlyArray<Float64Array>

/** Dimensions of the subspace beyond those asked for. What lies beyond it is damped by (σ_beyond / σ_rank)^(2·PASSES). */
const MORE = 16
const PASSES = 16

/**
 * The `rank` largest singular values by subspace iteration: a random subspace is multiplied by W and Wᵀ and made
 * orthonormal again and again; in the end it is turned to the singular vectors.
 *
 * @see Halko et al. 2011, algorithm 4.4, https://arxiv.org/abs/0909.4061
 */
export const principalPart = (weight: Tensor2D, rank: number, { normal }: RandomStream): PrincipalPart => {
  const [outputs, inputs] = weight.shape
  const size = Math.min(outputs, inputs)
  if (rank > size) throw new RangeError(`a matrix [${outputs}, ${inputs}] has no ${rank} singular values`)
  const width = Math.min(size, rank + MORE)
  let right: Vectors = Array.from({ length: width }, (_, k) =>
    Float64Array.from({ length: inputs }, (__, i) => normal(k * inputs + i))
  )
  orthonormalize(right)
  for (let pass = 0; pass < PASSES; pass++) {
    const images = times(right, weight, true)
    orthonormalize(images)
    right = times(images, weight, false)
    orthonormalize(right)
  }
  return turned(times(right, weight, true), right, rank)
}

/** W·v of every vector, or Wᵀ·v. */
const times = (vectors: Vectors, weight: Tensor2D, forward: boolean): Vectors => {
  const width = vectors[0]!.length
  const flat = new Float32Array(vectors.length * width)
  vectors.forEach((vector, k) => flat.set(vector, k * width))
  const products = tf.tidy(() =>
    tf.matMul(tf.tensor2d(flat, [vectors.length, width]), weight, false, forward).dataSync()
  )
  const length = products.length / vectors.length
  return vectors.map((_, k) => Float64Array.from(products.subarray(k * length, (k + 1) * length)))
}

/** Turns a subspace so that its images are at right angles: their lengths are the singular values. */
const turned = (images: Vectors, right: Vectors, rank: number): PrincipalPart => {
  const { values, vectors } = symmetricEigen(images.map((a) => images.map((b) => dot(a, b))))
  const lengths = values.slice(0, rank).map((value) => Math.sqrt(Math.max(0, value)))
  return {
    values: lengths,
    left: lengths.map((length, k) => combined(images, vectors[k]!, length === 0 ? 0 : 1 / length)),
    right: lengths.map((_, k) => combined(right, vectors[k]!, 1))
  }
}

/** Σ by_j · of_j, times the scale. */
const combined = (of: Vectors, by: ArrayLike<number>, scale: number): Float64Array => {
  const sum = new Float64Array(of[0]!.length)
  of.forEach((vector, j) => {
    const factor = by[j]! * scale
    for (let i = 0; i < sum.length; i++) sum[i]! += vector[i]! * factor
  })
  return sum
}
