/**
 * Rows of tokens in one flat array: the batch layout of the whole framework.
 *
 * Token-wise work runs on the flat tokens, attention sees rows by start and length; whatever lies outside every
 * row is padding.
 */
export interface TokenRows {
  /** [N] int32 */
  readonly tokens: Int32Array
  /** [N] int32, restarts at 0 in each row; 0 on padding */
  readonly positions: Int32Array
  /** [R] int32, index of each row's first token */
  readonly starts: Int32Array
  /** [R] int32, tokens */
  readonly lengths: Int32Array
}

/** Rows with the tokens the loss counts; M of them, in the order of the flat array. */
export interface ScoredRows extends TokenRows {
  readonly scored: {
    /** [M] int32, flat position whose hidden state predicts `targets[m]` */
    readonly index: Int32Array
    /** [M] int32, the token predicted */
    readonly targets: Int32Array
    /** [M] int32, its row */
    readonly rows: Int32Array
  }
}

export type RowLayout = "packed" | "padded-right" | "padded-left"

export interface TokenizedRow {
  readonly ids: Int32Array
  /** 1 = this token is a target of the loss; index 0 is never one, nothing predicts it */
  readonly lossMask: Uint8Array
}

export interface CollateOptions {
  readonly layout: RowLayout
  readonly padId: number
}

/** One batch of `rows`, in their order. Their layout changes where padding lies and nothing else. */
export const collate = (rows: ReadonlyArray<TokenizedRow>, { layout, padId }: CollateOptions): ScoredRows => {
  const lengths = Int32Array.from(rows, (row) => row.ids.length)
  const starts = rowStarts(lengths, layout)
  const size = layout === "packed" ? sum(lengths) : rows.length * longest(lengths)
  const tokens = new Int32Array(size).fill(padId)
  const positions = new Int32Array(size)
  rows.forEach((row, r) => {
    const start = starts[r]!
    tokens.set(row.ids, start)
    for (let t = 0; t < row.ids.length; t++) positions[start + t] = t
  })
  return { tokens, positions, starts, lengths, scored: scoredTokens(rows, starts) }
}

/** The token ids of each row again, whatever the layout. */
export const rowTokens = ({ tokens, starts, lengths }: TokenRows): ReadonlyArray<Int32Array> =>
  Array.from(starts, (start, r) => tokens.slice(start, start + lengths[r]!))

/** Number of tokens of a row that the loss counts. */
export const scoredCount = (row: TokenizedRow): number => {
  let count = 0
  for (let t = 1; t < row.ids.length; t++) count += row.lossMask[t]!
  return count
}

const rowStarts = (lengths: Int32Array, layout: RowLayout): Int32Array => {
  const width = longest(lengths)
  let next = 0
  return lengths.map((length, r) => {
    if (layout === "padded-right") return r * width
    if (layout === "padded-left") return (r + 1) * width - length
    const start = next
    next += length
    return start
  })
}

const scoredTokens = (rows: ReadonlyArray<TokenizedRow>, starts: Int32Array): ScoredRows["scored"] => {
  const count = rows.reduce((total, row) => total + scoredCount(row), 0)
  const index = new Int32Array(count)
  const targets = new Int32Array(count)
  const rowOf = new Int32Array(count)
  let m = 0
  rows.forEach(({ ids, lossMask }, r) => {
    for (let t = 1; t < ids.length; t++) {
      if (lossMask[t] !== 1) continue
      index[m] = starts[r]! + t - 1
      targets[m] = ids[t]!
      rowOf[m++] = r
    }
  })
  return { index, targets, rows: rowOf }
}

const sum = (values: Int32Array): number => values.reduce((total, value) => total + value, 0)
const longest = (lengths: Int32Array): number => lengths.reduce((most, length) => Math.max(most, length), 0)
