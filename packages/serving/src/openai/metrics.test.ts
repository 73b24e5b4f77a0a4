import { Effect } from "effect"
import { expect, it } from "vitest"
import { metricsPage } from "../shell/metrics.ts"
import { metricValue } from "../testing/raw-client.ts"
import { watchGenerator } from "./routes.ts"

it("has what the generator has done as counters, and what it is doing as gauges", () => {
  const load = {
    running: 2,
    waiting: 0,
    cacheUse: 0.5,
    promptTokens: 40,
    sampledTokens: 30,
    finishedResponses: 1,
    cachedTokens: 0,
    draftedTokens: 0,
    acceptedTokens: 0
  }
  const page = metricsPage()
  watchGenerator({ generator: { load: Effect.sync(() => load) } }, page, () => ({
    tensors: 1,
    bytes: 2,
    reservedBytes: 2
  }))
  const read = (name: string) => metricValue(page.text(), `plumbline_${name}`)
  const totals = () => ["prompt_tokens_cached", "draft_tokens", "draft_tokens_accepted"].map((n) => read(`${n}_total`))
  expect(totals()).toEqual([0, 0, 0])
  expect(page.text()).toMatch(/^plumbline_prompt_tokens_total 0\n(.*\n)*plumbline_generation_tokens_total 0$/m)
  Object.assign(load, { cachedTokens: 16, draftedTokens: 9, acceptedTokens: 7, running: 1 })
  // looking does not count again
  expect(totals()).toEqual([16, 9, 7])
  expect(totals()).toEqual([16, 9, 7])
  load.cachedTokens += 5
  expect([totals(), read("generator_responses_running")]).toEqual([[21, 9, 7], 1])
  const types = page.text().match(/# TYPE plumbline_(prompt_tokens_cached|draft_tokens\w*)_total counter/g)
  expect(types).toHaveLength(3)
})
