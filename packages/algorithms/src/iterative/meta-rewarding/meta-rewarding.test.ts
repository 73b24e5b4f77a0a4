import { it } from "@effect/vitest"
import { Effect } from "effect"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect } from "vitest"
import { dpo } from "../../preference/dpo.ts"
import { type OnlineResult, runOnline } from "../../testing/online-case.ts"
import { metaRewarding } from "./meta-rewarding.ts"

const said = (content: string) => [{ role: "user" as const, content }]

/** The small model's tokens are characters below 13; every text of it is a rating and a verdict. */
const words = {
  judge: {
    scale: { min: 0, max: 12 },
    ask: (_: unknown, { text }: { readonly text: string }) => said(`\u0001${text}`),
    read: (text: string) => text.charCodeAt(0)
  },
  metaJudge: {
    ask: (_: unknown, __: unknown, first: string, second: string) => said(`${first}\u0002${second}`),
    read: (text: string) => (text.charCodeAt(0) < 6 ? 1 : 0)
  }
}

/** Metrics that depend on nothing but the run. */
const exact = (steps: OnlineResult["steps"]) =>
  steps.map((metrics) =>
    Object.fromEntries(Object.entries(metrics).filter(([name]) => !/^timers|per_second/.test(name)))
  )

describe("meta-rewarding", () => {
  const algorithm = metaRewarding(dpo({ beta: 0.3 }), {
    seed: 3,
    sampling: { maxNewTokens: 4 },
    judgeSampling: { maxNewTokens: 3 },
    samples: 3,
    evaluations: 3,
    iterationSteps: 3,
    lengthControl: 0.1,
    metaShare: 0.5,
    judgeIterations: 2,
    ...words
  })
  const run = { author: "reference" as const, learningRate: 0.005 }

  it.live("learns from both kinds of pairs, in the iterations that it is told to, and goes on exactly", () =>
    Effect.gen(function* () {
      const folder = mkdtempSync(join(tmpdir(), "plumbline-meta-"))
      const whole = yield* runOnline(algorithm, { ...run, steps: 8 })
      for (const first of [0, 3, 6]) {
        expect(whole.steps[first]!["loss"], `step ${first + 1}`).toBeCloseTo(Math.LN2, 5)
        expect(whole.steps[first + 1]!["loss"]).not.toBeCloseTo(Math.LN2, 5)
      }
      const used = whole.steps.map((metrics) => metrics["judge_pairs/used"])
      expect(used.slice(0, 6).some((share) => share! > 0)).toBe(true)
      expect(used.slice(6)).toEqual([undefined, undefined])
      yield* runOnline(algorithm, { ...run, steps: 4, saveEvery: 4, folder })
      const resumed = yield* runOnline(algorithm, { ...run, steps: 8, saveEvery: 4, folder })
      expect(exact(resumed.steps)).toEqual(exact(whole.steps).slice(4))
    })
  )

  it.live("does not depend on micro-batches", () =>
    Effect.gen(function* () {
      const whole = yield* runOnline(algorithm, { ...run, steps: 3, microBatchSize: 100 })
      const split = yield* runOnline(algorithm, { ...run, steps: 3, microBatchSize: 2 })
      exact(whole.steps).forEach((metrics, i) => {
        for (const [name, value] of Object.entries(metrics)) expect(split.steps[i]![name], name).toBeCloseTo(value, 4)
      })
    })
  )
})
