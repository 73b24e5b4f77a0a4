import type { ProcessesShape } from "@plumbline/runtime"
import { describe, expect, it } from "vitest"
import { dealt, inOrder, ownersOf, shareWork } from "./own-share.ts"

const sized = (...tokens: ReadonlyArray<number>) => tokens.map((each) => ({ tokens: each }))

describe("ownersOf", () => {
  it("gives each process about as many tokens", () => {
    const parts = sized(900, 100, 500, 450, 50, 700, 300)
    const owners = ownersOf(parts, 3)
    const loads = [0, 1, 2].map((rank) =>
      parts.reduce((total, { tokens }, i) => (owners[i] === rank ? total + tokens : total), 0)
    )
    expect(loads).toEqual([1000, 1000, 1000])
  })

  it("leaves nobody idle while others have two, tokens or none", () => {
    expect(ownersOf(sized(0, 0, 0, 0), 2)).toEqual([0, 1, 0, 1])
    expect(new Set(ownersOf(sized(5, 5, 5), 3)).size).toBe(3)
  })
})

describe("inOrder", () => {
  it("puts what the processes did back into the order of the parts", () => {
    expect(inOrder([1, 0, 1, 2], [["b"], ["a", "c"], ["d"]])).toEqual(["a", "b", "c", "d"])
  })
})

describe("shareWork", () => {
  const parts = [sized(4), sized(1, 1), sized(3)]
  const totals = (units: ReadonlyArray<{ readonly tokens: number }>) =>
    units.reduce((sum, { tokens }) => sum + tokens, 0)

  /** Process `rank` of two; what the other one gives is known. */
  const processOf = (rank: number, other: ReadonlyArray<unknown>): ProcessesShape => ({
    rank,
    size: 2,
    sharding: "gradients",
    exchange: <A>(own: A) => (rank === 0 ? [own, other as A] : [other as A, own])
  })

  it("does this process's share alone, and gives the results of all in order", () => {
    const done: Array<number> = []
    const work = (units: ReadonlyArray<{ readonly tokens: number }>, part: number) => (done.push(part), totals(units))
    expect(shareWork(processOf(0, [2, 3]), parts, work)).toEqual([4, 2, 3])
    expect(done).toEqual([0])
    expect(shareWork(processOf(1, [4]), parts, work)).toEqual([4, 2, 3])
    expect(done).toEqual([0, 1, 2])
  })

  it("goes with the others where weights are in parts: as often as whoever has most, in what counts for nothing", () => {
    const done: Array<number> = []
    const work = (units: ReadonlyArray<{ readonly tokens: number }>, part: number) => (done.push(part), totals(units))
    const sharded = { ...processOf(0, [2, 3]), sharding: "full" } as const
    expect(shareWork(sharded, parts, work)).toEqual([4, 2, 3])
    // the shortest, which is the other's
    expect(done).toEqual([0, 1])
  })
})

describe("dealt", () => {
  it("has as many turns of each kind of work in all processes where weights are in parts", () => {
    const parts = sized(9, 8, 7, 0, 0, 0)
    const turns = [0, 1, 2, 3].map((rank) => {
      const process: ProcessesShape = { rank, size: 4, sharding: "full", exchange: () => [] }
      const { turns: turnsOf } = dealt(parts, process)
      return [turnsOf(({ tokens }) => tokens > 0), turnsOf(({ tokens }) => tokens === 0)]
    })
    expect(turns.map((kinds) => kinds.map(({ length }) => length))).toEqual([1, 2, 3, 4].map(() => [1, 3]))
    const own = turns.map((kinds) => kinds.map((kind) => kind.filter(({ isOwn }) => isOwn).length))
    expect(own).toEqual([
      [1, 0],
      [1, 0],
      [1, 0],
      [0, 3]
    ])
  })
})
