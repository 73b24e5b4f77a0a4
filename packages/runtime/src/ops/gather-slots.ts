import { tf, type Tensor3D } from "../tf.ts"
import { gatherRows } from "./embedding.ts"

/** Rows `index` of x: [N, K, d] → [M, K, d]. */
export const gatherSlots = (x: Tensor3D, index: Int32Array): Tensor3D =>
  tf.tidy(() => {
    const [count, heads, width] = x.shape
    return tf.reshape(gatherRows(tf.reshape(x, [count, heads * width]), index), [
      index.length,
      heads,
      width
    ]) as Tensor3D
  })
