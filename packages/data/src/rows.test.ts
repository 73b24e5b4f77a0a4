import { philoxStream } from "@plumbline/runtime"
import { describe, expect, it } from "vitest"
import { collate, rowTokens, type RowLayout, scoredCount, type TokenizedRow } from "./rows.ts"

const row = (ids: ReadonlyArray<number>, lossMask: ReadonlyArray<number>): TokenizedRow => ({
  ids: Int32Array.from(ids),
  lossMask: Uint8Array.from(lossMask)
})

// two rows of unequal length; the second scores its first completion token and its last
const rows = [row([11, 12, 13], [0, 0, 1]), row([21, 22, 23, 24, 25], [0, 1, 0, 0, 1])]
const LAYOUTS: ReadonlyArray<RowLayout> = ["packed", "padded-right", "padded-left"]

describe("collate", () => {
  // written by hand: scored.index is one before the target, at the row's own offset
  it.each([
    {
      layout: "packed" as const,
      tokens: [11, 12, 13, 21, 22, 23, 24, 25],
      positions: [0, 1, 2, 0, 1, 2, 3, 4],
      starts: [0, 3],
      index: [1, 3, 6]
    },
    {
      layout: "padded-right" as const,
      tokens: [11, 12, 13, 9, 9, 21, 22, 23, 24, 25],
      positions: [0, 1, 2, 0, 0, 0, 1, 2, 3, 4],
      starts: [0, 5],
      index: [1, 5, 8]
    },
    {
      layout: "padded-left" as const,
      tokens: [9, 9, 11, 12, 13, 21, 22, 23, 24, 25],
      positions: [0, 0, 0, 1, 2, 0, 1, 2, 3, 4],
      starts: [2, 5],
      index: [3, 5, 8]
    }
  ])("lays rows out $layout", ({ layout, tokens, positions, starts, index }) => {
    const batch = collate(rows, { layout, padId: 9 })
    expect([...batch.tokens]).toEqual(tokens)
    expect([...batch.positions]).toEqual(positions)
    expect([...batch.starts]).toEqual(starts)
    expect([...batch.lengths]).toEqual([3, 5])
    expect([...batch.scored.index]).toEqual(index)
    expect([...batch.scored.targets]).toEqual([13, 22, 25])
    expect([...batch.scored.rows]).toEqual([0, 1, 1])
  })

  it("never scores a row's first token, which nothing predicts", () => {
    const whole = row([5, 6], [1, 1])
    expect(scoredCount(whole)).toBe(1)
    expect([...collate([whole], { layout: "packed", padId: 0 }).scored.targets]).toEqual([6])
  })

  it("keeps EOS scored where the pad token is EOS (bug class 2)", () => {
    const eos = 2
    for (const layout of LAYOUTS) {
      const batch = collate([row([7, 8, eos], [0, 1, 1]), row([7, 8, 8, 8, eos], [0, 1, 1, 1, 1])], {
        layout,
        padId: eos
      })
      expect([...batch.scored.targets]).toEqual([8, eos, 8, 8, 8, eos])
    }
  })

  it("gives the same rows and the same scored tokens in every layout (bug class 11)", () => {
    const random = philoxStream(1, "collate")
    let next = 0
    const below = (n: number) => Math.floor(random.uniform(next++) * n)
    for (let trial = 0; trial < 50; trial++) {
      const batch = Array.from({ length: 1 + below(6) }, () => {
        const ids = Array.from({ length: 1 + below(12) }, () => below(50))
        return row(
          ids,
          ids.map((_, t) => (t === 0 ? 0 : below(2)))
        )
      })
      for (const layout of LAYOUTS) {
        const { scored, ...collated } = collate(batch, { layout, padId: 0 })
        expect(rowTokens(collated)).toEqual(batch.map(({ ids }) => ids))
        const predicted = [...scored.index].map((flat, m) => {
          const r = scored.rows[m]!
          return [r, flat + 1 - collated.starts[r]!, scored.targets[m]]
        })
        const expected = batch.flatMap(({ ids, lossMask }, r) =>
          [...ids].flatMap((id, t) => (lossMask[t] === 1 ? [[r, t, id]] : []))
        )
        expect(predicted).toEqual(expected)
      }
    }
  })

  it("of no rows is empty", () => {
    expect(collate([], { layout: "padded-right", padId: 0 }).tokens.length).toBe(0)
  })
})
