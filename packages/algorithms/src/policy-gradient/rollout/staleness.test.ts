import { it } from "@effect/vitest"
import type { RewardRule } from "@plumbline/reward-model"
import { type GeneratorShape, samplingOptions, UNKNOWN_VERSION } from "@plumbline/rollout-generation"
import { Effect, Stream } from "effect"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect } from "vitest"
import { late, runOnline } from "../../testing/online-case.ts"
import { grpo } from "../grpo.ts"
import type { OnlineOptions } from "../policy-gradient.ts"
import type { RolloutBatch } from "../rollout-batch.ts"
import { truncateTokens } from "../sampler-correction.ts"

const sevens: RewardRule = {
  name: "sevens",
  score: ({ ids }) => ids.filter((id) => id === 7).length / ids.length
}

const CAP = 1.2
/** Two steps a rollout, of which one is written ahead. */
const options: OnlineOptions = {
  samples: 4,
  sampling: samplingOptions({ maxNewTokens: 6 }),
  seed: 3,
  minibatches: 2,
  staleness: 1,
  correction: truncateTokens({ cap: CAP })
}
const run = { rules: [sevens], learningRate: 0.05 } as const

interface Seen {
  readonly batches: ReadonlyArray<RolloutBatch>
  readonly logProbs: ReadonlyArray<Float32Array>
}

/** The algorithm, and what each of its steps was made on. */
const watched = (given: Partial<OnlineOptions> = {}) => {
  const algorithm = grpo({ ...options, ...given })
  const seen: Array<Seen> = []
  let batches: ReadonlyArray<RolloutBatch> = []
  return {
    seen,
    algorithm: {
      ...algorithm,
      experience: (position: number, end: number) =>
        Stream.tap(algorithm.experience(position, end), (made) => Effect.sync(() => void (batches = made))),
      afterStep: (...[step, models, told]: Parameters<NonNullable<typeof algorithm.afterStep>>) => {
        seen.push({ batches, logProbs: told.observed.map(({ logProbs }) => logProbs!) })
        return algorithm.afterStep!(step, models, told)
      }
    }
  }
}

const untimed = (steps: ReadonlyArray<Readonly<Record<string, number>>>) =>
  steps.map((metrics) =>
    Object.fromEntries(
      Object.entries(metrics).filter(([name]) => !name.startsWith("timers/") && name !== "tokens_per_second")
    )
  )

/** The engine as one that computes elsewhere: steps do not wait for it. */
const elsewhere = (engine: GeneratorShape): GeneratorShape => ({ ...engine, colocated: false })

describe("one rollout ahead", () => {
  it.live("is written by the weights of two steps before, and weighed by what they made of its tokens", () =>
    Effect.gen(function* () {
      const { algorithm, seen } = watched()
      const { steps } = yield* runOnline(algorithm, { ...run, steps: 8 })
      expect(steps.map((metrics) => metrics["rollout/staleness_max"])).toEqual([0, 0, 2, 2, 2, 2, 2, 2])
      expect(steps.map((metrics) => metrics["rollout/staleness_mean"])).toEqual([0, 0, 2, 2, 2, 2, 2, 2])
      let [moved, capped] = [0, 0]
      for (const step of [0, 2, 4, 6]) {
        const { batches, logProbs } = seen[step]!
        let [sum, tokens] = [0, 0]
        for (const [b, { advantages, samplingLogProbs }] of batches.entries()) {
          // at the first step the policy is the old one: −w·A a token, w = min(π_old/π_sampler, 1.2)
          advantages.forEach((advantage, m) => {
            const weight = Math.exp(logProbs[b]![m]! - samplingLogProbs![m]!)
            moved += Math.abs(weight - 1) > 0.02 ? 1 : 0
            capped += weight > CAP ? 1 : 0
            sum -= Math.min(weight, CAP) * advantage
          })
          tokens += advantages.length
        }
        expect(steps[step]!["loss"]).toBeCloseTo(sum / tokens, 5)
        expect([steps[step]!["ratio/mean"], steps[step]!["clip_ratio/region_mean"]]).toEqual([1, 0])
      }
      // the weights matter
      expect(moved).toBeGreaterThan(20)
      expect(capped).toBeGreaterThan(5)
    })
  )

  it.live("goes on after a death as it would have gone on, without a store", () =>
    Effect.gen(function* () {
      const whole = yield* runOnline(watched().algorithm, { ...run, steps: 12, saveEvery: 3 })
      const folder = mkdtempSync(join(tmpdir(), "plumbline-stale-"))
      const { algorithm } = watched()
      // checkpoints in the middle of a rollout and between two
      for (const dies of [5, 8]) {
        const mortal = {
          ...algorithm,
          afterStep: (...told: Parameters<typeof algorithm.afterStep>) =>
            told[0] === dies ? Effect.die("killed") : algorithm.afterStep(...told)
        }
        yield* Effect.exit(runOnline(mortal, { ...run, steps: 12, saveEvery: 3, folder }))
      }
      const rest = yield* runOnline(watched().algorithm, { ...run, steps: 12, saveEvery: 3, folder })
      expect(untimed(rest.steps)).toEqual(untimed(whole.steps.slice(6)).map((step) => expect.objectContaining(step)))
      expect(rest.steps).toHaveLength(6)
    })
  )

  it.live("learns as much: from a first token right in less than three responses of ten to more than nine", () =>
    Effect.gen(function* () {
      const begins: RewardRule = { name: "begins", score: ({ ids }) => (ids[0] === 7 ? 1 : 0) }
      const { algorithm } = watched({ samples: 16, minibatches: 1, sampling: samplingOptions({ maxNewTokens: 2 }) })
      const { steps } = yield* runOnline(algorithm, { rules: [begins], learningRate: 0.02, steps: 40 })
      expect(steps[0]!["reward"]).toBeLessThan(0.3)
      expect(steps.slice(1).every((metrics) => metrics["rollout/staleness_max"] === 1)).toBe(true)
      expect(late(steps, "reward", 10)).toBeGreaterThan(0.9)
    })
  )

  it.live("with no rollout ahead every token is of the weights that learn from it", () =>
    Effect.gen(function* () {
      const { steps } = yield* runOnline(watched({ staleness: 0 }).algorithm, { ...run, steps: 4 })
      expect(steps.map((metrics) => metrics["rollout/staleness_max"])).toEqual([0, 0, 0, 0])
    })
  )

  it.live("is written while steps are made where the generator computes elsewhere, and no token is too old", () =>
    Effect.gen(function* () {
      const { steps } = yield* runOnline(watched({ staleness: 2 }).algorithm, { ...run, steps: 12, served: elsewhere })
      const oldest = steps.map((metrics) => metrics["rollout/staleness_max"]!)
      expect(Math.max(...oldest)).toBeGreaterThan(0)
      expect(Math.max(...oldest)).toBeLessThanOrEqual(4)
      expect(steps).toHaveLength(12)
    })
  )

  it.live("is refused where it cannot be held to its bound", () =>
    Effect.gen(function* () {
      const frozen = (engine: GeneratorShape): GeneratorShape => ({
        ...engine,
        generate: (requests) =>
          Effect.map(engine.generate(requests), (groups) =>
            groups.map((group) => ({
              ...group,
              responses: group.responses.map((response) => ({
                ...response,
                policyVersions: response.policyVersions.map(() => 0)
              }))
            }))
          )
      })
      const error = yield* Effect.flip(runOnline(watched().algorithm, { ...run, steps: 12, served: frozen }))
      expect(error).toMatchObject({ _tag: "RolloutTooOld", rollout: 2, version: 0, current: 4, most: 2 })
      const unknown = (engine: GeneratorShape): GeneratorShape => ({
        ...engine,
        policyVersion: Effect.succeed(UNKNOWN_VERSION)
      })
      const refused = [
        [{ correction: undefined }, (engine: GeneratorShape) => engine, "needs a --sampler-correction"],
        [{}, unknown, "does not say which weights"]
      ] as const
      for (const [given, served, reason] of refused) {
        const { algorithm } = watched(given)
        const checking = { ...algorithm, trainable: Effect.andThen(algorithm.check!, algorithm.trainable) }
        const invalid = yield* Effect.flip(runOnline(checking, { ...run, steps: 2, served }))
        expect(invalid).toMatchObject({ _tag: "OptionsInvalid", option: "--staleness" })
        expect((invalid as Error).message).toContain(reason)
      }
    })
  )
})
