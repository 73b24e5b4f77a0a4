import { ATTENTION, fused, hasKernel, ROTARY_ATTENTION } from "../kernels/names.ts"
import { tf, type Tensor, type Tensor2D, type Tensor3D } from "../tf.ts"
import { type Heads, type RotaryAngles, rotaryHeads } from "./rotary.ts"

/** Where the rows of a flat token axis lie. Host data; rows are in order and do not overlap. */
export interface RowSpans {
  /** [R] index of each row's first token */
  readonly starts: Int32Array
  /** [R] tokens of each row */
  readonly lengths: Int32Array
}

export interface AttentionOptions {
  readonly queries: RowSpans
  /** Keys of the same rows; a row may hold more keys than queries (a cache): the last ones are the queries' own. */
  readonly keys: RowSpans
  /** Factor on q·k, usually 1/√d. */
  readonly scale: number
  /** Tokens a query sees, itself included; all before it when absent. */
  readonly window?: number | undefined
  /** c in c·tanh(score / c). */
  readonly softCap?: number | undefined
}

/**
 * Causal grouped-query attention over rows laid end to end: no token sees another row, and the output
 * of tokens outside every row is 0.
 *
 * @param q [N, H, d] float32
 * @param k [M, K, d] float32, K divides H: query head h reads key head ⌊h·K/H⌋
 * @param v [M, K, d] float32
 * @returns [N, H, d] float32
 */
export const attention = (q: Tensor3D, k: Tensor3D, v: Tensor3D, options: AttentionOptions): Tensor3D => {
  checkSpans(q, k, options)
  if (!hasKernel(ATTENTION)) return tf.tidy(() => composedAttention(q, k, v, options))
  const [out, logNormalizer] = fused<Array<Tensor>>(ATTENTION, { q, k, v }, { ...options })
  logNormalizer!.dispose()
  return out as Tensor3D
}

/** `attention` of queries and keys that are turned by their tokens' angles before: one operation where the backend has it. */
export const rotaryAttention = (heads: Heads, angles: RotaryAngles, options: AttentionOptions): Tensor3D => {
  if (!hasKernel(ROTARY_ATTENTION)) {
    const { k, q, v } = rotaryHeads(heads, angles)
    return attention(q, k, v, options)
  }
  checkSpans(heads.q, heads.k, options)
  const [out, ...kept] = fused<Array<Tensor>>(ROTARY_ATTENTION, { ...heads, ...angles }, { ...options })
  tf.dispose(kept)
  return out as Tensor3D
}

/** Kernels read memory by these numbers, so they are checked before. */
const checkSpans = (q: Tensor3D, k: Tensor3D, { keys, queries }: AttentionOptions): void => {
  if (q.shape[1] % k.shape[1] !== 0) throw new RangeError(`${k.shape[1]} key heads do not divide ${q.shape[1]} heads`)
  let queriesEnd = 0
  let keysEnd = 0
  queries.starts.forEach((start, row) => {
    const [length, keyStart, keyLength] = [queries.lengths[row]!, keys.starts[row]!, keys.lengths[row]!]
    if (start < queriesEnd || keyStart < keysEnd) throw new RangeError(`row ${row} overlaps the row before it`)
    if (keyLength < length) throw new RangeError(`row ${row} has ${length} queries but ${keyLength} keys`)
    queriesEnd = start + length
    keysEnd = keyStart + keyLength
  })
  if (queriesEnd > q.shape[0]) throw new RangeError(`rows end at token ${queriesEnd} of ${q.shape[0]} queries`)
  if (keysEnd > k.shape[0]) throw new RangeError(`rows end at token ${keysEnd} of ${k.shape[0]} keys`)
}

export const composedAttention = (q: Tensor3D, k: Tensor3D, v: Tensor3D, options: AttentionOptions): Tensor3D => {
  const [tokens, heads, width] = q.shape
  const pieces: Array<Tensor> = []
  let filled = 0
  const fillTo = (end: number) => {
    if (end > filled) pieces.push(tf.zeros([end - filled, heads, width]))
    filled = end
  }
  options.queries.starts.forEach((start, row) => {
    const length = options.queries.lengths[row]!
    if (length === 0) return
    fillTo(start)
    pieces.push(rowAttention(q, k, v, row, options))
    filled = start + length
  })
  fillTo(tokens)
  if (pieces.length === 0) return tf.zeros([0, heads, width])
  return pieces.length === 1 ? (pieces[0] as Tensor3D) : (tf.concat(pieces, 0) as Tensor3D)
}

const take = (x: Tensor3D, start: number, count: number) => tf.slice(x, [start, 0, 0], [count, -1, -1])

const rowAttention = (q: Tensor3D, k: Tensor3D, v: Tensor3D, row: number, options: AttentionOptions): Tensor3D => {
  const [, heads, width] = q.shape
  const keyHeads = k.shape[1]
  const group = heads / keyHeads
  const length = options.queries.lengths[row]!
  const keyLength = options.keys.lengths[row]!
  const rowKeys = take(k, options.keys.starts[row]!, keyLength)
  const rowValues = take(v, options.keys.starts[row]!, keyLength)
  const grouped = tf.reshape(take(q, options.queries.starts[row]!, length), [length, keyHeads, group, width])
  const queries = tf.reshape(tf.transpose(grouped, [1, 2, 0, 3]), [keyHeads, group * length, width])
  let scores = tf.mul(tf.matMul(queries, tf.transpose(rowKeys, [1, 2, 0])), options.scale)
  if (options.softCap !== undefined) scores = tf.mul(tf.tanh(tf.div(scores, options.softCap)), options.softCap)
  const masked = tf.add(
    tf.reshape(scores, [keyHeads * group, length, keyLength]),
    causalMask(length, keyLength, options.window)
  )
  const probabilities = tf.reshape(tf.softmax(masked), [keyHeads, group * length, keyLength])
  const mixed = tf.reshape(tf.matMul(probabilities, tf.transpose(rowValues, [1, 0, 2])), [
    keyHeads,
    group,
    length,
    width
  ])
  return tf.reshape(tf.transpose(mixed, [2, 0, 1, 3]), [length, heads, width])
}

/** [T, S] float32: 0 where query t sees key s, −10³⁰ elsewhere. */
const causalMask = (length: number, keyLength: number, window = Infinity): Tensor2D => {
  const mask = new Float32Array(length * keyLength).fill(-1e30)
  for (let t = 0; t < length; t++) {
    const last = t + keyLength - length
    for (let s = Math.max(0, last - window + 1); s <= last; s++) mask[t * keyLength + s] = 0
  }
  return tf.tensor2d(mask, [length, keyLength])
}
