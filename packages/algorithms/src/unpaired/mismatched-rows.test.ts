import { describe, expect, it } from "vitest"
import { row } from "../testing/small-models.ts"
import { mismatchedRows } from "./mismatched-rows.ts"

const rows = [row([1, 2, 3], 2), row([4, 5, 6, 7], 1), row([8, 9, 10], 2)]
const plain = (made: ReturnType<typeof mismatchedRows>) =>
  made.map(({ ids, lossMask }) => ({ ids: [...ids], lossMask: [...lossMask] }))

describe("mismatched rows", () => {
  it("rotate completions by one, prompts staying", () => {
    expect(plain(mismatchedRows(rows))).toEqual([
      { ids: [1, 2, 10], lossMask: [0, 0, 1] },
      { ids: [4, 3], lossMask: [0, 1] },
      { ids: [8, 9, 5, 6, 7], lossMask: [0, 0, 1, 1, 1] }
    ])
  })

  it("are cut at the end", () => {
    expect(plain(mismatchedRows(rows, 3))[2]).toEqual({ ids: [8, 9, 5], lossMask: [0, 0, 1] })
  })
})
