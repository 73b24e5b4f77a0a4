import { describe, expect, it } from "vitest"
import { areSame, fillBlocks, placesOf } from "./attention-places.ts"
import { KEYS, QUERIES } from "./cuda/attention-tiles.ts"

const rowsOf = (lengths: ReadonlyArray<number>) => ({
  starts: Int32Array.from(lengths, (_, row) => lengths.slice(0, row).reduce((sum, length) => sum + length, 0)),
  lengths: Int32Array.from(lengths)
})

const lengthsOf = [[1], [128], [129], [700, 5, 128, 0, 257], [64, 64, 64], [1, 2000, 1]]

describe("blocks of keys of rows", () => {
  it.each(lengthsOf)(
    "hold every key once, have tiles of their own, and go by the queries behind them: %j, …",
    (...lengths) => {
      const rows = rowsOf(lengths)
      const all = placesOf(rows)
      const places = Array.from({ length: all.length / 4 }, (_, i) => [...all.subarray(4 * i, 4 * i + 4)])
      const keys = places.flatMap(([start, length, key]) =>
        Array.from({ length: Math.min(KEYS, length! - key!) }, (_, i) => start! + key! + i)
      )
      expect(keys.toSorted((a, b) => a - b)).toEqual(
        Array.from({ length: rows.lengths.reduce((a, b) => a + b) }, (_, i) => i)
      )
      const tiles = places.flatMap(([, , key, tile]) =>
        Array.from({ length: KEYS / QUERIES }, (_, i) => tile! + key! / QUERIES + i)
      )
      // as many as there is room for
      expect(tiles.toSorted((a, b) => a - b)).toEqual(
        Array.from({ length: (places.length * KEYS) / QUERIES }, (_, i) => i)
      )
      const queries = places.map(([, length, key]) => length! - key!)
      expect(queries).toEqual(queries.toSorted((a, b) => b - a))
      expect(placesOf(rows)).toBe(all)
    }
  )

  it("are half full or more, and of rows that are all of the tokens", () => {
    expect(fillBlocks(rowsOf([64]), 64)).toBe(true)
    expect(fillBlocks(rowsOf([63]), 63)).toBe(false)
    expect(fillBlocks(rowsOf([1, 1, 1, 900]), 903)).toBe(true)
    expect(fillBlocks(rowsOf([1, 1, 1, 90]), 93)).toBe(false)
    expect(fillBlocks(rowsOf([100, 100]), 201)).toBe(false)
    expect(fillBlocks({ starts: Int32Array.of(0, 101), lengths: Int32Array.of(100, 100) }, 201)).toBe(false)
    expect(fillBlocks(rowsOf([]), 0)).toBe(false)
  })

  it("are those of other rows of the same lengths", () => {
    expect(areSame(rowsOf([3, 4]), rowsOf([3, 4]))).toBe(true)
    expect(areSame(rowsOf([3, 4]), rowsOf([4, 3]))).toBe(false)
    expect(areSame(rowsOf([3, 4]), rowsOf([3, 4, 0]))).toBe(false)
  })
})
