import { describe, expect, it } from "@effect/vitest"
import type { RowLayout } from "@plumbline/data"
import { createScalarModel, llama } from "@plumbline/models"
import {
  bradleyTerry,
  pairwiseObjective,
  RewardModel,
  scaledBradleyTerry,
  type ScoredPairs
} from "@plumbline/reward-model"
import { ModelRuntime, tf } from "@plumbline/runtime"
import { evaluate } from "@plumbline/training"
import { objectiveLaws } from "@plumbline/training/testing"
import { Effect, Layer } from "effect"
import type { PairUnit } from "../preference/preference-data.ts"
import { PreferenceData } from "../preference/preference-data.ts"
import { unevenPairs } from "../testing/preference-batches.ts"
import { VOCABULARY } from "../testing/small-models.ts"
import { pairwise } from "./pairwise.ts"
import { scoredPairs, strengthOf } from "./scored-pairs.ts"

const table = {
  family: llama,
  vocabulary: VOCABULARY,
  width: 16,
  layers: 2,
  heads: 4,
  keyValueHeads: 2,
  mlpWidth: 24,
  maxPositions: 32,
  settings: { initializer_range: 0.3 }
}

const model = (attributes: ReadonlyArray<string> = ["reward"]) =>
  createScalarModel(table, { attributes, pooling: "last" }, 5)

/** Strengths and margins on some pairs, none on others. */
const units = unevenPairs.map((unit, i): PairUnit => ({
  ...unit,
  row: { ...unit.row, ...(i % 2 === 0 ? { margin: 0.3, strength: i } : {}) }
}))

const batch = (some: ReadonlyArray<PairUnit>, layout: RowLayout = "packed"): ScoredPairs =>
  scoredPairs({ layout, padId: 0 }, some)

const splits = [
  [batch(units)],
  units.map((unit) => batch([unit])),
  [batch(units.slice(0, 3)), batch(units.slice(3))],
  [batch(units, "padded-right")],
  [batch(units, "padded-left")]
]

describe("pairwise objectives", () => {
  const rated = units.map((unit, i): PairUnit => ({ ...unit, row: { ...unit.row, strength: 0.5 * i } }))
  objectiveLaws("bradley_terry", {
    objective: pairwiseObjective(bradleyTerry({ centring: 0.01 })),
    models: () => ({ reward: model() }),
    splits: () => splits,
    scale: 1
  })
  objectiveLaws("scaled_bt on two weighted attributes", {
    objective: pairwiseObjective(scaledBradleyTerry(), { a: 1, b: -0.5 }),
    models: () => ({ reward: model(["a", "b"]) }),
    splits: () => [[batch(rated)], rated.map((unit) => batch([unit])), [batch(rated, "padded-left")]],
    scale: 1
  })

  it.effect("take the weighted sum of a head's attributes for the score, and the extremes of all scores", () =>
    Effect.sync(() => {
      const reward = model(["a", "b"])
      const all = batch(units)
      const scores = tf.tidy(() => [...reward.rowScores(all.rows).dataSync()])
      const score = new Map(
        Array.from({ length: 2 * units.length }, (_, r) => [r, scores[2 * r]! - 0.5 * scores[2 * r + 1]!])
      )
      const objective = pairwiseObjective(bradleyTerry(), { a: 1, b: -0.5 })
      const { metrics } = evaluate(objective, { reward }, splits[1]!)
      const gaps = units.map((_, i) => score.get(i)! - score.get(units.length + i)!)
      expect(metrics["margin"]).toBeCloseTo(gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length, 5)
      expect(metrics["accuracy"]).toBe(gaps.filter((gap) => gap > 0).length / gaps.length)
      expect(metrics["min_reward"]).toBeCloseTo(Math.min(...score.values()), 5)
      expect(metrics["max_reward"]).toBeCloseTo(Math.max(...score.values()), 5)
      reward.dispose()
    }).pipe(Effect.provide(ModelRuntime.layerWasm))
  )
})

describe("accuracy", () => {
  it.effect("takes a tie for no right order", () =>
    Effect.sync(() => {
      const reward = model()
      const { chosen } = units[0]!.row
      const tie: PairUnit = { ...units[0]!, row: { chosen, rejected: chosen } }
      const { metrics } = evaluate(pairwiseObjective(bradleyTerry()), { reward }, [batch([tie])])
      expect([metrics["accuracy"], metrics["margin"]]).toEqual([0, 0])
      expect(metrics["loss"]).toBeCloseTo(Math.LN2, 6)
      reward.dispose()
    }).pipe(Effect.provide(ModelRuntime.layerWasm))
  )
})

describe("pairwise", () => {
  const data = (some: ReadonlyArray<PairUnit>) =>
    Layer.succeed(PreferenceData, {
      units: some,
      heldOut: [],
      sampler: { stepsPerEpoch: 1, indices: () => Int32Array.of(0) },
      split: { count: 1 },
      layout: "packed",
      padId: 0
    } as never)

  const checked = (some: ReadonlyArray<PairUnit>, algorithm: ReturnType<typeof pairwise>, attributes = ["reward"]) =>
    Effect.flip(algorithm.check!).pipe(
      Effect.map(({ message }) => message),
      Effect.provide([data(some), RewardModel.layerNew(table, { attributes, pooling: "last" }, 1)]),
      Effect.provide(ModelRuntime.layerWasm)
    )

  it.effect("refuses data and heads that do not fit", () =>
    Effect.gen(function* () {
      const { margin: _, strength: __, chosenReward: ___, ...bare } = units[0]!.row
      const unrated = { ...units[0]!, row: bare }
      expect(yield* checked([units[0]!, unrated], pairwise(scaledBradleyTerry()))).toContain(
        "scaled_bt: learns how strong preferences are, and pair 0 does not say"
      )
      const reversed = { ...units[0]!, row: { ...bare, chosenReward: 1, rejectedReward: 3 } }
      expect(strengthOf(reversed)).toBe(-2)
      expect(yield* checked([reversed], pairwise(scaledBradleyTerry()))).toContain(
        "pair 0 prefers the chosen response by -2"
      )
      expect(yield* checked(units, pairwise(bradleyTerry()), ["a", "b"])).toBe(
        "the reward model scores a, b: say what each of them weighs"
      )
      expect(yield* checked(units, pairwise(bradleyTerry(), { c: 1 }))).toBe("the reward model scores reward, not c")
    })
  )
})
