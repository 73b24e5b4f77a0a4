import { EMBEDDING, fused, hasKernel } from "../kernels/names.ts"
import { tf, type Tensor2D } from "../tf.ts"

/**
 * Rows of `weight`; its gradient adds up the rows of tokens that occur more than once.
 *
 * @param weight [V, D] float32
 * @param ids    [N] token ids in [0, V), host data
 * @returns      [N, D] float32
 */
export const embedding = (weight: Tensor2D, ids: Int32Array): Tensor2D =>
  hasKernel(EMBEDDING) ? fused(EMBEDDING, { weight }, { ids }) : gatherRows(weight, ids)

/** Rows `index` of x: [N, D] → [M, D]. */
export const gatherRows = (x: Tensor2D, index: Int32Array): Tensor2D =>
  tf.gather(x, tf.tensor1d(index, "int32")) as Tensor2D
