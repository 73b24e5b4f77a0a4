import { describe, expect, it } from "vitest"
import { nothingLearnt } from "./nothing-learnt.ts"

type Row = Parameters<typeof nothingLearnt>[0][number]

const row = (group: number, reward: number | undefined, fields: Partial<Row> = {}): Row => ({
  group,
  reward,
  advantages: Float32Array.of(0, 0),
  maskedBecause: undefined,
  ...fields
})
const said = (rows: ReadonlyArray<Row>, ...ended: ReadonlyArray<boolean>) =>
  nothingLearnt(
    rows,
    ended.map((one) => ({ ended: one }))
  )
const learning = { advantages: Float32Array.of(0, -0.5) }
const cut = { maskedBecause: "truncated" } as const

describe("a rollout that teaches nothing", () => {
  it("is one in which no response that counts has an advantage", () => {
    expect(said([row(0, 1), row(0, 2, learning)])).toBeUndefined()
    expect(said([row(0, 1), row(0, 2, { ...learning, ...cut })])).toBeDefined()
    expect(said([])).toBeUndefined()
  })

  it("says why", () => {
    expect(said([row(0, 1, cut), row(0, 2, cut)], false, false)).toBe(
      "all 2 responses were cut by --max-new-tokens, and --mask-truncated leaves those out"
    )
    expect(said([row(0, 1, cut), row(0, undefined, { maskedBecause: "no reward" })])).toContain("or have no reward")
    expect(said([row(0, 1), row(1, 2), row(0, 1), row(1, 2)])).toBe("the responses to each prompt have the same reward")
    // REINFORCE compares with others that ended
    expect(said([row(0, 1), row(0, 2), row(0, 3)], true, false, false)).toBe(
      "of 3 responses 1 came to an end before --max-new-tokens, and those alone are compared with"
    )
  })
})
