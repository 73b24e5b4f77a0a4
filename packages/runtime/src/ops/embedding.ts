import { EMBEDDING, fused, hasKernel } from "../kernels/names.ts"
import { tf, type Tensor2D } from "../tf.ts"

/**
 * Rows of `weight`; its gradient adds up the rows of tokens that occur more than once.
 *
 * @param weight [V, D] float32
 * @param ids    [N] token ids in [0, V), host data
 * @returns      [N, D] float32
 */
export const embedding = (weight: Tensor2D, ids: Int32Array): Tensor2D => {
  const outside = ids.findIndex((id) => id < 0 || id >= weight.shape[0])
  if (outside >= 0) throw new RangeError(`row ${ids[outside]} (at ${outside}) of a matrix of ${weight.shape[0]} rows`)
  return hasKernel(EMBEDDING) ? fused(EMBEDDING, { weight }, { ids }) : tf.tidy(() => composedEmbedding(weight, ids))
}

export const composedEmbedding = (weight: Tensor2D, ids: Int32Array): Tensor2D =>
  tf.gather(weight, tf.tensor1d(ids, "int32")) as Tensor2D

/** Rows `index` of x: [N, D] → [M, D]. */
export const gatherRows = (x: Tensor2D, index: Int32Array): Tensor2D => embedding(x, index)
