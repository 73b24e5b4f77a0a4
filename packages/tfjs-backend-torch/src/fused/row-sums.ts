/**
 * Triples begin, end, target, one after another: rows begin … end − 1 of an order are added up into row `target`. Flat, since
 * there may be as many as tokens.
 */
export type RowSumList = Int32Array

/** How rows with equal ids are added up: each sum over its rows in the order in which they stand. */
export interface RowSums {
  /** The places of `ids`, those of one id side by side. */
  readonly order: Int32Array
  /** Of rows in this order, into rows by id. */
  readonly whole: RowSumList
  /** Of rows in this order, into parts: ids that occur too often for one sum. */
  readonly parts: RowSumList
  /** Of parts, into rows by id. */
  readonly ofParts: RowSumList
}

/** Rows of one sum, which are read one after another. */
const MOST_ROWS = 64

/** @param ids in [0, rows) */
export const rowSums = (ids: Int32Array, rows: number): RowSums => {
  const { firsts, order } = sorted(ids, rows)
  const [whole, parts, ofParts]: [Array<number>, Array<number>, Array<number>] = [[], [], []]
  let partCount = 0
  for (let row = 0; row < rows; row++) {
    const [begin, end] = [firsts[row]!, firsts[row + 1]!]
    if (end - begin > MOST_ROWS) {
      const firstPart = partCount
      for (let at = begin; at < end; at += MOST_ROWS) parts.push(at, Math.min(at + MOST_ROWS, end), partCount++)
      ofParts.push(firstPart, partCount, row)
    } else if (end > begin) whole.push(begin, end, row)
  }
  return { order, whole: new Int32Array(whole), parts: new Int32Array(parts), ofParts: new Int32Array(ofParts) }
}

/** Places by id, equal ids in their order; `firsts[id]` is where those of an id begin. */
const sorted = (ids: Int32Array, rows: number) => {
  const firsts = new Int32Array(rows + 1)
  for (const id of ids) firsts[id + 1]! += 1
  for (let row = 0; row < rows; row++) firsts[row + 1]! += firsts[row]!
  const next = firsts.slice()
  const order = new Int32Array(ids.length)
  for (let place = 0; place < ids.length; place++) order[next[ids[place]!]!++] = place
  return { firsts, order }
}
