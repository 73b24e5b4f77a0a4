import type { Caller, Row } from "./group.ts"

/** A row, and how many rows of its caller go before it. */
export interface InTurn {
  readonly row: Row
  readonly turn: number
}

/**
 * The first row of every caller, by age, then their second ones, and so on. Of a caller the older request goes first, of
 * a group the prompt, then the samples in their order; a prompt that is kept for others takes no turn.
 */
export const inTurn = (rows: Iterable<Row>): ReadonlyArray<InTurn> => {
  const counts = new Map<Caller, number>()
  const byAge = [...rows].toSorted((a, b) => a.group.age - b.group.age || place(a) - place(b))
  const ranked = byAge.map((row) => {
    const { caller } = row.group
    const turn = counts.get(caller) ?? 0
    counts.set(caller, isKept(row) ? turn : turn + 1)
    return { row, turn }
  })
  // sorting is stable: rows of one turn stay by age
  return counts.size === 1 ? ranked : ranked.toSorted((a, b) => a.turn - b.turn)
}

const place = (row: Row): number => (row.kind === "prefix" ? -1 : row.sample)

const isKept = (row: Row): boolean => row.kind === "prefix" && row.state === "ready"
