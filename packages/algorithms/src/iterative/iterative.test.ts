import { it } from "@effect/vitest"
import { collate } from "@plumbline/data"
import type { CausalLM } from "@plumbline/models"
import type { RewardRule } from "@plumbline/reward-model"
import { ModelRuntime, tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect } from "vitest"
import { dpo } from "../preference/dpo.ts"
import { late, runOnline, STOP } from "../testing/online-case.ts"
import { row } from "../testing/small-models.ts"
import { onlinePreference } from "./online-preference.ts"
import { rejectionSampling } from "./rejection-sampling.ts"
import { selfRewarding } from "./self-rewarding.ts"
import { spin } from "./spin.ts"

const sampling = { maxNewTokens: 5 }
const shared = { seed: 3, sampling }

/** Share of a response's tokens that are 7: something a policy can learn. */
const sevens: RewardRule = {
  name: "sevens",
  score: ({ ids }) => ids.filter((id) => id === 7).length / ids.length
}
/** Looks at nothing that could be learnt: the control. */
const noise: RewardRule = {
  name: "noise",
  score: ({ ids }) => (ids.reduce((hash, id) => (hash * 31 + id) % 101, 7) * 13) % 17
}
const nothing: RewardRule = { name: "nothing", score: () => 1 }

/** log π of the demonstrated answer 3 4 5 STOP to prompt 1, nats. */
const demonstrated = (policy: CausalLM): number => answerLogProb(policy, [3, 4, 5, STOP])

const answerLogProb = (policy: CausalLM, answer: ReadonlyArray<number>): number =>
  tf.tidy(
    () =>
      tf
        .sum(policy.tokenLogProbs(collate([row([1, ...answer], 1)], { layout: "packed", padId: 0 })).logProbs)
        .dataSync()[0]!
  )

/** log π of 7 7 7 to prompt 1, nats. */
const likesSevens = (policy: CausalLM): number => answerLogProb(policy, [7, 7, 7])

const torch = ModelRuntime.layerTorch({ device: "cpu" })
const hasTorch = await Effect.runPromise(Effect.isSuccess(Effect.scoped(Effect.provide(Effect.void, torch))))

describe("rejection sampling", () => {
  const algorithm = rejectionSampling({ ...shared, samples: 6, keep: 1 })

  it.live("raises the reward it samples for, and a random one does not raise that", () =>
    Effect.gen(function* () {
      const start = yield* runOnline(algorithm, { rules: [sevens], steps: 1, learningRate: 1e-30 }, likesSevens)
      const { seen, steps } = yield* runOnline(algorithm, { rules: [sevens], steps: 30 }, likesSevens)
      const control = yield* runOnline(algorithm, { rules: [noise], steps: 30 }, likesSevens)
      expect(steps[0]!["reward/kept"]).toBeGreaterThan(steps[0]!["reward"]!)
      expect(late(steps, "reward")).toBeGreaterThan(0.6)
      expect(seen).toBeGreaterThan(start.seen + 1)
      expect(control.seen).toBeLessThan(start.seen + 0.5)
    })
  )

  it.live("imitates the n best of each prompt, whatever the micro-batches", () =>
    Effect.gen(function* () {
      const two = rejectionSampling({ ...shared, samples: 4, keep: 2 })
      const whole = yield* runOnline(two, { rules: [sevens], steps: 3 })
      const split = yield* runOnline(two, { rules: [sevens], steps: 3, microBatchSize: 3 })
      whole.steps.forEach((metrics, i) => {
        for (const name of ["loss", "reward", "reward/kept", "completions/mean_length"]) {
          expect(split.steps[i]![name], name).toBeCloseTo(metrics[name]!, 5)
        }
      })
    })
  )
})

describe("online preference optimization", () => {
  const algorithm = onlinePreference(dpo({ beta: 0.1 }), { ...shared, samples: 4 })

  it.live("starts at ln 2 and raises the reward", () =>
    Effect.gen(function* () {
      const { steps } = yield* runOnline(algorithm, { rules: [sevens], steps: 40 })
      expect(steps[0]!["loss"]).toBeCloseTo(Math.LN2, 6)
      expect(late(steps, "reward")).toBeGreaterThan(steps[0]!["reward"]! + 0.4)
    })
  )

  it.live("changes no weight where all responses are equally good", () =>
    Effect.gen(function* () {
      const { seen, steps } = yield* runOnline(algorithm, { rules: [nothing], steps: 3 }, demonstrated)
      const { seen: start } = yield* runOnline(
        algorithm,
        { rules: [nothing], steps: 1, learningRate: 1e-30 },
        demonstrated
      )
      expect(seen).toBe(start)
      for (const metrics of steps) {
        expect(metrics).toMatchObject({ reward: 1, "pairs/used": 0 })
        expect("loss" in metrics || "grad_norm" in metrics).toBe(false)
      }
    })
  )
})

describe("self-rewarding", () => {
  const algorithm = selfRewarding(dpo({ beta: 0.3 }), { ...shared, samples: 4, iterationSteps: 5, lengthControl: 0 })
  const run = { author: "reference" as const, learningRate: 0.005 }

  it.live("is written and judged by the last iteration's model, and raises what a judge rewards", () =>
    Effect.gen(function* () {
      const start = yield* runOnline(algorithm, { ...run, rules: [sevens], steps: 1, learningRate: 1e-30 }, likesSevens)
      const { seen, steps } = yield* runOnline(algorithm, { ...run, rules: [sevens], steps: 15 }, likesSevens)
      const control = yield* runOnline(algorithm, { ...run, rules: [noise], steps: 15 }, likesSevens)
      for (const first of [0, 5, 10]) expect(steps[first]!["loss"], `step ${first + 1}`).toBeCloseTo(Math.LN2, 5)
      expect(seen).toBeGreaterThan(start.seen + 1)
      expect(control.seen).toBeLessThan(start.seen + 0.5)
    })
  )
})

describe("spin", () => {
  const algorithm = spin({ ...shared, beta: 0.5, iterationSteps: 6 })

  const learns = (backend: typeof ModelRuntime.layerWasm) =>
    Effect.gen(function* () {
      const run = { author: "reference" as const, backend, learningRate: 0.005 }
      const { seen, steps } = yield* runOnline(algorithm, { ...run, steps: 18 }, demonstrated)
      const start = yield* runOnline(algorithm, { ...run, learningRate: 1e-30, steps: 1 }, demonstrated)
      // an iteration begins with policy = opponent
      for (const first of [0, 6, 12]) expect(steps[first]!["loss"], `step ${first + 1}`).toBeCloseTo(Math.LN2, 6)
      for (const last of [5, 11, 17]) expect(steps[last]!["loss"], `step ${last + 1}`).toBeLessThan(0.6)
      expect(seen).toBeGreaterThan(start.seen + 1)
    })

  it.live("makes the demonstrations likelier, iteration by iteration, on wasm", () => learns(ModelRuntime.layerWasm))
  it.live.skipIf(!hasTorch)("makes the demonstrations likelier, iteration by iteration, on torch", () => learns(torch))

  it.live("takes a β for each iteration, and the last one for all that follow", () =>
    Effect.gen(function* () {
      const run = { author: "reference" as const, learningRate: 0.005, steps: 7 }
      const iterations = { ...shared, iterationSteps: 2 }
      const { steps: changing } = yield* runOnline(spin({ ...iterations, beta: [0.5, 0.1] }), run)
      const { steps: same } = yield* runOnline(spin({ ...iterations, beta: 0.5 }), { ...run, steps: 3 })
      expect(changing.map((metrics) => metrics["beta"])).toEqual([0.5, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1].map(Math.fround))
      // at ln 2, where an iteration begins, the gradient is proportional to β
      expect(changing[1]!["loss"]).toBe(same[1]!["loss"])
      expect(changing[2]!["grad_norm"]! / same[2]!["grad_norm"]!).toBeCloseTo(0.2, 4)
    })
  )

  it.live("goes on exactly from a checkpoint inside an iteration", () =>
    Effect.gen(function* () {
      const folder = mkdtempSync(join(tmpdir(), "plumbline-spin-"))
      const run = { author: "reference" as const, learningRate: 0.005, saveEvery: 4 }
      const whole = yield* runOnline(algorithm, { ...run, steps: 11 }, demonstrated)
      yield* runOnline(algorithm, { ...run, steps: 8, folder })
      const resumed = yield* runOnline(algorithm, { ...run, steps: 11, folder }, demonstrated)
      expect(resumed.steps.map(({ loss }) => loss)).toEqual(whole.steps.slice(8).map(({ loss }) => loss))
      expect(resumed.seen).toBe(whole.seen)
    })
  )
})
