import type { TokenRows } from "@plumbline/data"
import { philoxStream, type Tensor1D, type Tensor2D, tf } from "@plumbline/runtime"
import { createHash } from "node:crypto"

/** Leaves out a share of the numbers of what adapters see, in one pass over some rows. */
export interface Dropout {
  /** x [N, I] with each number 0 at the odds of the share, else divided by what is left. @param layer has draws of its own */
  readonly apply: (x: Tensor2D, layer: string) => Tensor2D
  /** The same for rows of x that are these tokens of the pass. */
  readonly at: (tokens: Int32Array) => Dropout
}

/**
 * Which numbers are left out is a pure function of the step, the row's tokens, the position in it, the layer and the
 * feature: neither the split into micro-batches nor packing nor a second computation of the block changes it. A number
 * is left out where the fraction of r + c is below the share, r uniform by token and c by feature: any two numbers
 * are independent, and a mask of N·I costs N + I draws.
 *
 * @see Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html
 */
export const rowDropout = (share: number, step: number, rows: TokenRows): Dropout => {
  return dropout(share, step, tokenDraws(step, rows))
}

/** @param draws [N] of each row of x */
const dropout = (share: number, step: number, draws: Float32Array): Dropout => ({
  at: (tokens) =>
    dropout(
      share,
      step,
      Float32Array.from(tokens, (token) => draws[token]!)
    ),
  apply: (x, layer) =>
    tf.tidy(() => {
      const [count, width] = x.shape
      const { uint32 } = philoxStream(step, `dropout/${layer}`)
      const byFeature = Float32Array.from({ length: width }, (_, i) => unit(uint32(i)))
      const sum = tf.add(tf.tensor2d(draws, [count, 1]), tf.tensor1d(byFeature) as Tensor1D)
      const kept = tf.cast(tf.greaterEqual(tf.sub(sum, tf.floor(sum)), share), "float32")
      return tf.mul(x, tf.mul(kept, 1 / (1 - share))) as Tensor2D
    })
})

/** [0, 1) on the grid of float32. */
const unit = (word: number): number => (word >>> 8) / 2 ** 24

const tokenDraws = (step: number, { lengths, starts, tokens }: TokenRows): Float32Array => {
  const draws = new Float32Array(tokens.length)
  starts.forEach((start, row) => {
    const ids = tokens.slice(start, start + lengths[row]!)
    const name = createHash("sha256").update(ids).digest("base64url")
    const { uint32 } = philoxStream(step, `dropout/row/${name}`)
    for (let t = 0; t < ids.length; t++) draws[start + t] = unit(uint32(t))
  })
  return draws
}
