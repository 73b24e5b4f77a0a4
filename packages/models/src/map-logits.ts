import { linear, recomputed, tf, type Tensor2D } from "@plumbline/runtime"

/** Tokens whose logits exist at one time. */
const CHUNK = 256

/**
 * Applies `perChunk` to the logits of all tokens, some at a time.
 *
 * @param hidden       [M, D]
 * @param outputMatrix [V, D], read again in the backward pass
 * @returns            [M, J]
 */
export const chunkByChunk = (
  hidden: Tensor2D,
  outputMatrix: () => Tensor2D,
  perChunk: (logits: Tensor2D, first: number) => Tensor2D
): Tensor2D => {
  const [count] = hidden.shape
  const parts = Array.from({ length: Math.ceil(count / CHUNK) }, (_, chunk) => {
    const first = chunk * CHUNK
    const states = tf.slice(hidden, [first, 0], [Math.min(CHUNK, count - first), -1])
    return recomputed((part: Tensor2D) => perChunk(linear(part, outputMatrix()), first), states)
  })
  return tf.concat(parts, 0)
}
