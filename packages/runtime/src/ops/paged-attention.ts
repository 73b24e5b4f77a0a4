import { fused, hasKernel, PAGED_ATTENTION } from "../kernels/names.ts"
import { tf, type Tensor2D, type Tensor3D } from "../tf.ts"
import { attention, type RowSpans } from "./attention.ts"

/** Rows whose keys and values lie in pages of a cache; host data. */
export interface PagedSpans {
  /** The rows' queries, in order. A row without any is left out. */
  readonly queries: RowSpans
  /** [R · width] pages of each row, in the order of its tokens; what is beyond its length is not read */
  readonly table: Int32Array
  /** Pages of a row of the table. */
  readonly width: number
  /** [R] tokens whose keys a row has; the last ones are those of its queries */
  readonly lengths: Int32Array
  /** Tokens of a page. */
  readonly pageSize: number
}

/** The same with the numbers where a kernel finds them, made once for all layers of a step. */
export interface PagedRows extends PagedSpans {
  /** [R, width] int32 */
  readonly tableTensor: Tensor2D
  /** [3, R] int32: first query, number of queries, number of keys */
  readonly spansTensor: Tensor2D
}

export interface PagedAttentionOptions {
  readonly rows: PagedRows
  /** Factor on q·k, usually 1/√d. */
  readonly scale: number
  /** Tokens a query sees, itself included; all before it when absent. */
  readonly window?: number | undefined
  /** c in c·tanh(score / c). */
  readonly softCap?: number | undefined
}

/** @param slots tokens that the cache has room for */
export const pagedRows = (spans: PagedSpans, slots: number): PagedRows => {
  checkPages(spans, slots)
  const { lengths, queries, table, width } = spans
  const rows = lengths.length
  const numbers = new Int32Array(3 * rows)
  ;[queries.starts, queries.lengths, lengths].forEach((values, i) => numbers.set(values, i * rows))
  return {
    ...spans,
    tableTensor: tf.tensor2d(table, [rows, width], "int32"),
    spansTensor: tf.tensor2d(numbers, [3, rows], "int32")
  }
}

/** Kernels read memory by these numbers, so they are checked before. */
const checkPages = ({ lengths, pageSize, queries, table, width }: PagedSpans, slots: number): void => {
  let end = 0
  lengths.forEach((length, row) => {
    const [start, count] = [queries.starts[row]!, queries.lengths[row]!]
    if (start < end) throw new RangeError(`row ${row} overlaps the row before it`)
    if (length < count) throw new RangeError(`row ${row} has ${count} queries but ${length} keys`)
    if (length > width * pageSize)
      throw new RangeError(`row ${row} has ${length} keys, its pages hold ${width * pageSize}`)
    for (let i = 0; i * pageSize < length; i++) {
      const page = table[row * width + i]!
      if (page < 0 || (page + 1) * pageSize > slots)
        throw new RangeError(`row ${row} has page ${page} of ${slots / pageSize}`)
    }
    end = start + count
  })
}

/**
 * Causal grouped-query attention of new tokens over pages that hold their keys and those before them. Rows may share
 * pages. The output of tokens outside every row is 0. Not differentiable.
 *
 * @param q      [N, H, d] float32
 * @param keys   [slots, K, d] float32, token t of a row in slot page·pageSize + t mod pageSize; K divides H
 * @param values [slots, K, d] float32
 * @returns      [N, H, d] float32
 * @see Kwon et al. 2023, https://arxiv.org/abs/2309.06180
 */
export const pagedAttention = (
  q: Tensor3D,
  keys: Tensor3D,
  values: Tensor3D,
  options: PagedAttentionOptions
): Tensor3D => {
  const { tableTensor: table, spansTensor: spans } = options.rows
  return hasKernel(PAGED_ATTENTION)
    ? fused(PAGED_ATTENTION, { q, keys, values, table, spans }, { ...options })
    : tf.tidy(() => composedPagedAttention(q, keys, values, options))
}

/** Gathers every row's pages end to end. */
export const composedPagedAttention = (
  q: Tensor3D,
  keys: Tensor3D,
  values: Tensor3D,
  { rows, ...rest }: PagedAttentionOptions
): Tensor3D => {
  const slots = tf.tensor1d(rowSlots(rows), "int32")
  const gathered = { starts: startsOf(rows.lengths), lengths: rows.lengths }
  return attention(q, tf.gather(keys, slots), tf.gather(values, slots), {
    queries: rows.queries,
    keys: gathered,
    ...rest
  })
}

/** Slot of every token of every row, end to end. */
export const rowSlots = ({ lengths, pageSize, table, width }: PagedSpans): Int32Array => {
  const slots = new Int32Array(lengths.reduce((total, length) => total + length, 0))
  let next = 0
  lengths.forEach((length, row) => {
    for (let t = 0; t < length; t++) {
      slots[next++] = table[row * width + Math.floor(t / pageSize)]! * pageSize + (t % pageSize)
    }
  })
  return slots
}

const startsOf = (lengths: Int32Array): Int32Array => {
  let next = 0
  return lengths.map((length) => (next += length) - length)
}
