import { philoxStream } from "@plumbline/runtime"
import { describe, expect, it } from "vitest"
import { splitByCount, splitByTokens } from "./packing.ts"

const itself = (tokens: number) => tokens

describe("splitByCount", () => {
  it("cuts in order, the last micro-batch smaller", () => {
    expect(splitByCount(["a", "b", "c", "d", "e"], 2)).toEqual([["a", "b"], ["c", "d"], ["e"]])
    expect(splitByCount([], 2)).toEqual([])
  })

  it("refuses a count that is no positive integer", () => {
    expect(() => splitByCount([1], 0)).toThrow(RangeError)
    expect(() => splitByCount([1], 1.5)).toThrow(RangeError)
  })
})

describe("splitByTokens", () => {
  it("is first-fit decreasing", () => {
    // budget 10: 7 opens a bin, 6 another, 4 fits beside 6, 3 beside 7, 2 nowhere; micro-batches ordered by their first unit
    expect(splitByTokens([4, 7, 2, 6, 3], { tokens: itself, budget: 10 })).toEqual([[4, 6], [7, 3], [2]])
  })

  it("lets a unit above the budget stand alone", () => {
    expect(splitByTokens([3, 30, 4], { tokens: itself, budget: 10 })).toEqual([[3, 4], [30]])
  })

  it("keeps every unit once, within the budget, the same each time", () => {
    const random = philoxStream(2, "packing")
    for (let trial = 0; trial < 40; trial++) {
      const units = Array.from({ length: trial }, (_, id) => ({
        id,
        tokens: 1 + Math.floor(random.uniform(trial * 100 + id) * 40)
      }))
      const options = { tokens: (unit: { tokens: number }) => unit.tokens, budget: 32 }
      const split = splitByTokens(units, options)
      expect(split.flat().toSorted((a, b) => a.id - b.id)).toEqual(units)
      for (const micro of split) {
        const total = micro.reduce((sum, unit) => sum + unit.tokens, 0)
        expect(micro.length === 1 || total <= 32).toBe(true)
      }
      expect(splitByTokens(units, options)).toEqual(split)
    }
  })
})
