import type { SteppedModel } from "@plumbline/models"
import { philoxStream } from "@plumbline/runtime"
import { describe, expect, it } from "vitest"
import type { GenerationRequest } from "../request.ts"
import { prompt, request } from "../testing/index.ts"
import { finishRow, type Group, knownTokens, type Row } from "./group.ts"
import { pagePool } from "./page-pool.ts"
import { makeScheduler, type SchedulerOptions } from "./scheduler.ts"

const model = { config: { vocabulary: 32 }, contextTokens: 1000, prefix: undefined } as unknown as SteppedModel

/** A scheduler whose steps compute nothing: every row that is fed up to its last token draws what `token` says. */
const simulated = (pages: number, options: Partial<SchedulerOptions> = {}, token: () => number = () => 0) => {
  const pool = pagePool(pages)
  const all = {
    tokenizer: undefined,
    maxRows: 8,
    maxBatchTokens: 1000,
    pageSize: 4,
    scoredLogits: 2 ** 19,
    draftRows: 0,
    prefixCaching: false,
    ...options
  }
  const scheduler = makeScheduler(pool, new Map(), all)
  const done: Array<Group> = []
  const fed = { tokens: 0, steps: 0 }
  const draw = (row: Row, draft: ReadonlyArray<number>) => {
    if (row.kind === "prefix") return scheduler.settle(row)
    row.ids.push(token())
    for (let i = 0; row.ids.at(-1) === draft[i]; i++) {
      row.held += 1
      row.ids.push(token())
    }
    if (row.ids.length < row.group.room) return
    expect(row.ids.length).toBe(row.group.room)
    finishRow(row, undefined)
    scheduler.settle(row)
  }
  return {
    pool,
    done,
    fed,
    scheduler,
    add: (caller: unknown, what: GenerationRequest): Group => {
      const group: Group = scheduler.add({ ...what, caller }, model, {
        onDone: () => done.push(group),
        onFailed: expect.unreachable
      })
      return group
    },
    /** @returns rows of the step by what their requests call their callers, and tokens of each */
    step: (): ReadonlyArray<readonly [caller: unknown, tokens: number]> => {
      const { drafts, feeds } = scheduler.plan()
      for (const { count, row } of feeds) row.held += count
      fed.tokens += feeds.reduce((sum, { count }) => sum + count, 0)
      fed.steps += 1
      expect(scheduler.running()).toBeLessThanOrEqual(all.maxRows)
      expect(feeds.length).toBeLessThanOrEqual(all.maxRows)
      for (const { count, row } of feeds) {
        if (count > 1) scheduler.keep(row)
        if (row.held === knownTokens(row)) draw(row, (row.kind === "sample" && drafts.get(row)) || [])
      }
      return feeds.map(({ count, row }) => [row.group.request.caller, count])
    }
  }
}

const of = (samples: number, maxNewTokens: number, length = 5, seed = samples): GenerationRequest =>
  request(prompt(length, seed), seed, { maxNewTokens }, { samples })

const rowsOf = (step: ReadonlyArray<readonly [unknown, number]>, caller: unknown): number =>
  step.filter(([own]) => own === caller).length

describe("rows", () => {
  it("are given at once to a request that has none, by halting one of who has the most", () => {
    const { add, done, fed, step } = simulated(1000)
    add("large", of(24, 50))
    for (let i = 0; i < 4; i++) step()
    const small = add("small", of(1, 3))
    for (let i = 0; i < 3; i++) {
      const now = step()
      expect([rowsOf(now, "large"), rowsOf(now, "small")]).toEqual([7, 1])
    }
    expect(done).toEqual([small])
    expect(rowsOf(step(), "large")).toBe(8)
    while (done.length < 2) step()
    // 24 rows of 50 tokens, the prompt's last one with them, once the 4 before it: nothing of the halted one was lost
    expect(fed.tokens).toBe(4 + 24 * 50 + 5 + 2)
  })

  it("are never taken from a request that has one", () => {
    const { add, step } = simulated(1000, { maxRows: 2 })
    add("a", of(1, 9))
    add("b", of(4, 9))
    step()
    step()
    add("c", of(1, 9))
    for (let i = 0; i < 5; i++) expect(rowsOf(step(), "c")).toBe(0)
  })

  it("that end go to who has the fewest", () => {
    const { add, step } = simulated(1000)
    add("a", of(30, 10))
    for (let i = 0; i < 6; i++) step()
    add("b", of(30, 7))
    let last = step()
    for (let i = 0; i < 30; i++) last = step()
    expect([rowsOf(last, "a"), rowsOf(last, "b")]).toEqual([4, 4])
  })

  it("go round where there are more callers than rows", () => {
    const { add, done, step } = simulated(1000, { maxRows: 2 })
    for (const caller of ["a", "b", "c"]) add(caller, of(10, 4, 1))
    for (let i = 0; i < 6; i++) step()
    const small = add("small", of(1, 4, 1))
    for (let i = 0; i < 10; i++) step()
    expect(done).toEqual([small])
  })

  it("of one caller go to its requests in the order they came, each prompt computed once", () => {
    const { add, done, fed, step } = simulated(1000)
    const groups = [3, 8, 4, 6, 9].map((samples) => add("one", of(samples, 12, 20)))
    while (done.length < groups.length) step()
    expect(done).toEqual(groups)
    expect(fed.tokens).toBe(5 * 19 + 30 * 12)
  })

  it("go to requests without a caller as to one", () => {
    const { add, step } = simulated(1000)
    add(undefined, of(30, 40))
    step()
    step()
    add(undefined, of(1, 40, 5, 99))
    const last = step()
    expect(last.length).toBe(8)
    expect(last.every(([, count]) => count === 1)).toBe(true)
  })
})

describe("a step's tokens", () => {
  it("go to short prompts before a long one, of which half a step is read at least", () => {
    const { add, step } = simulated(1000, { maxBatchTokens: 64 })
    add("long", of(1, 4, 500))
    expect(step()).toEqual([["long", 64]])
    add("short", of(1, 4, 20))
    expect(step()).toEqual([
      ["short", 20],
      ["long", 44]
    ])
    for (let i = 0; i < 8; i++) add(`another ${i}`, of(1, 30, 30, i))
    expect(Object.fromEntries(step())).toMatchObject({ short: 1, long: 33, "another 0": 30 })
  })
})

describe("pages", () => {
  it("are given to a request that has no row by rows of others, but not by the first of any", () => {
    // 4 + 16 tokens of the large one's 8 rows take all 40 pages
    const { add, done, pool, step } = simulated(40)
    add("large", of(8, 16, 4))
    while (pool.free() > 0) step()
    const small = add("small", of(1, 3, 9))
    expect(rowsOf(step(), "small")).toBe(1)
    while (!done.includes(small)) expect(rowsOf(step(), "large")).toBeGreaterThan(0)
  })

  it.each(Array.from({ length: 120 }, (_, seed) => seed))(
    "too few for all let every request of many callers end (%i)",
    (seed) => {
      const { uint32 } = philoxStream(seed, "requests")
      const pageSize = [4, 1, 16][seed % 3]!
      const pages = 64 / pageSize
      let drawn = 0
      const { add, done, pool, scheduler, step } = simulated(
        pages,
        {
          pageSize,
          maxBatchTokens: 8 + (seed % 5) * 20,
          maxRows: 1 + (seed % 9),
          draftRows: (seed % 2) * 16,
          prefixCaching: seed % 4 > 1
        },
        () => (uint32(1_000_000 + drawn++) % 9 === 0 ? 1 : 0)
      )
      scheduler.startOver(model)
      const wanted: Array<Group> = []
      let dropped = 0
      for (let i = 0; i < 20_000 && (i < 200 || scheduler.groups.length > 0); i++) {
        const pick = (n: number, most: number) => uint32(10 * i + n) % most
        if (i < 200 && pick(0, 4) === 0) {
          // the pages hold 64 tokens
          const what = of(1 + pick(1, 9), 1 + pick(2, 30), 1 + pick(3, 34), pick(4, 30))
          wanted.push(add(pick(5, 3 + (seed % 13)), { ...what, promptLogProbs: false }))
        }
        const [some] = scheduler.groups
        if (some !== undefined && i < 200 && pick(6, 40) === 0) {
          dropped += 1
          scheduler.drop(some)
        }
        step()
      }
      expect(wanted.length).toBeGreaterThan(30)
      expect(done.length + dropped).toBe(wanted.length)
      expect([pool.free(), scheduler.running()]).toEqual([pages, 0])
    }
  )

  it.each([1, 2, 3, 4, 5])("too few for kept prompts of more callers than %i rows let all of them end", (maxRows) => {
    const { add, done, step } = simulated(15, { maxRows })
    const wanted = Array.from({ length: 32 }, (_, i) => add(i < 12 ? "first" : i % 7, of(2, 12, 1 + (i % 11) * 3, i)))
    for (let i = 0; i < 5000 && done.length < wanted.length; i++) step()
    expect(done.length).toBe(wanted.length)
  })
})
