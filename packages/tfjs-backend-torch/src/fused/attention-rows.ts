/** Where rows lie on a flat token axis, as the runtime's RowSpans. */
export interface Spans {
  readonly starts: Int32Array
  readonly lengths: Int32Array
}

/** Rows of one shape that lie end to end, so that they are computed together. */
export interface RowBatch {
  readonly rows: number
  readonly firstQuery: number
  readonly firstKey: number
  /** Queries and keys of each row. */
  readonly length: number
  readonly keyLength: number
}

/** The rows that have queries, those next to each other and alike as one batch. */
export const rowBatches = (queries: Spans, keys: Spans): ReadonlyArray<RowBatch> => {
  const batches: Array<RowBatch> = []
  queries.starts.forEach((firstQuery, row) => {
    const [length, firstKey, keyLength] = [queries.lengths[row]!, keys.starts[row]!, keys.lengths[row]!]
    if (length === 0) return
    const before = batches.at(-1)
    const continues =
      before !== undefined &&
      before.length === length &&
      before.keyLength === keyLength &&
      firstQuery === before.firstQuery + before.rows * length &&
      firstKey === before.firstKey + before.rows * keyLength
    if (continues) batches[batches.length - 1] = { ...before, rows: before.rows + 1 }
    else batches.push({ rows: 1, firstQuery, firstKey, length, keyLength })
  })
  return batches
}

/** Some queries of each of a batch's rows, and the keys that any of them sees. */
export interface QueryChunk {
  readonly start: number
  readonly count: number
  readonly firstKey: number
  readonly keyCount: number
  /** Key that the first query of the chunk stands at. */
  readonly offset: number
}

/** Bytes of scores that exist at one time. */
const SCORE_BYTES = 2 ** 26

export const queryChunks = (
  { keyLength, length, rows }: RowBatch,
  heads: number,
  window: number | undefined
): ReadonlyArray<QueryChunk> => {
  const perQuery = 4 * rows * heads * keyLength
  const size = Math.max(1, Math.min(length, Math.floor(SCORE_BYTES / perQuery)))
  const chunks: Array<QueryChunk> = []
  for (let start = 0; start < length; start += size) {
    const count = Math.min(size, length - start)
    const offset = start + keyLength - length
    const firstKey = window === undefined ? 0 : Math.max(0, offset - window + 1)
    chunks.push({ start, count, offset, firstKey, keyCount: offset + count - firstKey })
  }
  return chunks
}
