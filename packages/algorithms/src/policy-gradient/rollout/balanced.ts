import { splitByTokens } from "@plumbline/data"
import type { MicroBatching } from "@plumbline/training"

/** How rows become micro-batches: at most so many rows, or so many tokens, at one time. */
export type RowSplit = MicroBatching

/**
 * Micro-batches of like numbers of tokens: longest row first, each into the one with the fewest tokens that has room.
 * Deterministic; rows keep their order inside one. No split changes a step. Where processes share a batch, each has some.
 */
export const balanced = <Row>(
  rows: ReadonlyArray<Row>,
  tokens: (row: Row) => number,
  split: RowSplit
): ReadonlyArray<ReadonlyArray<Row>> => {
  const { processes = 1, ...own } = split
  if (processes === 1) return balancedShare(rows, tokens, own)
  const shares = balancedShare(rows, tokens, { count: Math.ceil(rows.length / processes) })
  return shares.flatMap((share) => balancedShare(share, tokens, own))
}

const balancedShare = <Row>(
  rows: ReadonlyArray<Row>,
  tokens: (row: Row) => number,
  split: RowSplit
): ReadonlyArray<ReadonlyArray<Row>> => {
  if (rows.length === 0) return []
  if ("tokens" in split) return splitByTokens(rows, { tokens, budget: split.tokens })
  const bins = Array.from({ length: Math.ceil(rows.length / split.count) }, () => ({
    tokens: 0,
    members: [] as Array<number>
  }))
  const longestFirst = [...rows.keys()].toSorted((a, b) => tokens(rows[b]!) - tokens(rows[a]!) || a - b)
  for (const row of longestFirst) {
    const open = bins.filter(({ members }) => members.length < split.count)
    const least = open.reduce((best, bin) => (bin.tokens < best.tokens ? bin : best))
    least.tokens += tokens(rows[row]!)
    least.members.push(row)
  }
  return bins.map(({ members }) => members.toSorted((a, b) => a - b).map((row) => rows[row]!))
}
