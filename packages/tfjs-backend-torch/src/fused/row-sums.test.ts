import { expect, it } from "vitest"
import { type RowSumList, rowSums } from "./row-sums.ts"

const triples = (sums: RowSumList): ReadonlyArray<readonly [begin: number, end: number, target: number]> =>
  Array.from({ length: sums.length / 3 }, (_, i) => [sums[3 * i]!, sums[3 * i + 1]!, sums[3 * i + 2]!])

/** The sums as the kernel makes them, of rows of one number. */
const added = (values: ReadonlyArray<number>, sums: RowSumList, order?: Int32Array) =>
  new Map(
    triples(sums).map(([begin, end, target]) => {
      let sum = 0
      for (let i = begin; i < end; i++) sum += values[order?.[i] ?? i]!
      return [target, sum] as const
    })
  )

const totals = (ids: Int32Array, rows: number, values: ReadonlyArray<number>) => {
  const { ofParts, order, parts, whole } = rowSums(ids, rows)
  const ofEach = [...added(values, parts, order).values()]
  return new Map([...added(values, whole, order), ...added(ofEach, ofParts)])
}

it("adds up the rows of each id once, ids that nothing has not at all", () => {
  // powers of two: a sum says which rows are in it
  expect(totals(Int32Array.of(4, 0, 4, 2, 4), 6, [1, 2, 4, 8, 16])).toEqual(
    new Map([
      [0, 2],
      [2, 8],
      [4, 21]
    ])
  )
})

it("keeps the order of rows in each sum", () => {
  expect([...rowSums(Int32Array.of(1, 0, 1, 1), 2).order]).toEqual([1, 0, 2, 3])
})

it.for([64, 65, 128, 1000])("adds up %i rows of one id beside one of another, none in a long sum", (count) => {
  const ids = new Int32Array(count + 1).fill(3)
  ids[5] = 1
  const values = Array.from(ids, (_, i) => i)
  // 0 + 1 + … + count, of which row 5 belongs to the other
  const all = (count * (count + 1)) / 2
  expect(totals(ids, 4, values)).toEqual(
    new Map([
      [1, 5],
      [3, all - 5]
    ])
  )
  const { parts, whole } = rowSums(ids, 4)
  for (const [begin, end] of [...triples(whole), ...triples(parts)]) expect(end - begin).toBeLessThanOrEqual(64)
})

it("has nothing to add of no rows", () => {
  const none = new Int32Array()
  expect(rowSums(none, 3)).toEqual({ order: none, whole: none, parts: none, ofParts: none })
})
