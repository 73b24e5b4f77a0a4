import type { SteppedModel } from "@plumbline/models"
import { expect, it } from "vitest"
import { prompt, request } from "../testing/index.ts"
import { pagePool } from "./page-pool.ts"
import { makeScheduler } from "./scheduler.ts"

const modelOf = (vocabulary: number) =>
  ({ config: { vocabulary }, contextTokens: 1000, prefix: undefined }) as unknown as SteppedModel

const options = {
  tokenizer: undefined,
  maxRows: 8,
  maxBatchTokens: 1000,
  pageSize: 16,
  scoredLogits: 2 ** 19,
  draftRows: 0,
  prefixCaching: false
}
const listener = { onDone: () => {}, onFailed: () => {} }

/** Tokens of each step until the prompts of six requests are computed. */
const steps = (vocabulary: number, promptLogProbs: boolean, length = 31): ReadonlyArray<number> => {
  const scheduler = makeScheduler(pagePool(1000), new Map(), options)
  const model = modelOf(vocabulary)
  for (let seed = 0; seed < 6; seed++) {
    scheduler.add(request(prompt(length, seed), seed, {}, { samples: 2, promptLogProbs }), model, listener)
  }
  const found: Array<number> = []
  while (scheduler.groups.some(({ prefix, rows }) => prefix?.state !== "ready" && rows[0]!.state === "waiting")) {
    const { feeds } = scheduler.plan()
    found.push(feeds.reduce((sum, { count }) => sum + count, 0))
    for (const { count, row } of feeds) {
      row.held += count
      if (row.kind === "prefix" && row.held === length - 1) scheduler.settle(row)
      // the rows themselves are not of interest
      else if (row.kind === "sample") scheduler.drop(row.group)
    }
  }
  return found
}

it("computes prompts at once where nobody reads their logits", () => {
  expect(steps(2 ** 17, false)[0]).toBe(180)
  expect(steps(2 ** 10, true)[0]).toBe(180)
})

it("computes no more tokens of scored prompts in a step than there is room for logits of", () => {
  const found = steps(2 ** 17, true)
  expect(Math.max(...found.slice(0, 7))).toBe(4)
  // all get on in the end
  expect(found.length).toBeLessThan(200)
})

it("computes no more of them than the host lists alternatives of quickly, however small the vocabulary", () => {
  // of six prompts' 768
  expect(steps(2 ** 5, true, 129)[0]).toBe(512)
})
