import type { RowSpans } from "./row-groups.ts"

/** Rows over the pages of a cache, as the runtime's PagedRows has them; host data. */
export interface PagedRows {
  readonly queries: RowSpans
  readonly table: Int32Array
  readonly width: number
  readonly lengths: Int32Array
  readonly pageSize: number
}

/** Which rows there are and where their tokens lie. */
export interface PagedLayout {
  /** Rows with one query. */
  readonly single: ReadonlyArray<number>
  /** Rows with more. */
  readonly long: ReadonlyArray<number>
  /** Queries of the long rows, end to end: their places, or undefined where these are 0, 1, 2, … */
  readonly places: Int32Array | undefined
  /** Queries and seen keys of each long row. */
  readonly queryCounts: ReadonlyArray<number>
  readonly keyCounts: ReadonlyArray<number>
  /** Slots of the long rows' keys, end to end. */
  readonly slots: Int32Array
}

const layouts = new WeakMap<PagedRows, Map<number | undefined, PagedLayout>>()

/** Made once for all layers of a step that have the window. */
export const pagedLayout = (rows: PagedRows, window: number | undefined): PagedLayout => {
  const known = layouts.get(rows) ?? new Map<number | undefined, PagedLayout>()
  layouts.set(rows, known)
  const layout = known.get(window) ?? makeLayout(rows, window)
  known.set(window, layout)
  return layout
}

const makeLayout = (rows: PagedRows, window: number | undefined): PagedLayout => {
  const { lengths, starts } = rows.queries
  const [single, long]: [Array<number>, Array<number>] = [[], []]
  lengths.forEach((length, row) => length > 0 && (length === 1 ? single : long).push(row))
  const queryCounts = long.map((row) => lengths[row]!)
  const keyCounts = long.map((row) => rows.lengths[row]! - hiddenTokens(rows, window, row))
  const places = new Int32Array(queryCounts.reduce((total, count) => total + count, 0))
  const slots = new Int32Array(keyCounts.reduce((total, count) => total + count, 0))
  let [place, slot] = [0, 0]
  long.forEach((row, i) => {
    for (let t = 0; t < queryCounts[i]!; t++) places[place++] = starts[row]! + t
    putSlots(slots, slot, rows, row, hiddenTokens(rows, window, row))
    slot += keyCounts[i]!
  })
  const inOrder = places.every((at, i) => at === i)
  return { single, long, places: inOrder ? undefined : places, queryCounts, keyCounts, slots }
}

/** Slots of a row's tokens from `first` on, written from `at` on. */
export const putSlots = (into: Int32Array, at: number, rows: PagedRows, row: number, first: number): void => {
  const { lengths, pageSize, table, width } = rows
  for (let t = first; t < lengths[row]!; t++) {
    into[at + t - first] = table[row * width + Math.floor(t / pageSize)]! * pageSize + (t % pageSize)
  }
}

/** Tokens of a row that none of its queries sees. */
export const hiddenTokens = ({ lengths, queries }: PagedRows, window: number | undefined, row: number): number =>
  window === undefined ? 0 : Math.max(0, lengths[row]! - queries.lengths[row]! - window + 1)
