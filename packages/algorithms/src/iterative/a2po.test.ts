import { it } from "@effect/vitest"
import { collate } from "@plumbline/data"
import type { CausalLM } from "@plumbline/models"
import type { JudgedGroup, RewardGroup, RewardRule, RewardShape } from "@plumbline/reward-model"
import { tf } from "@plumbline/runtime"
import { accumulate } from "@plumbline/training"
import { objectiveLaws } from "@plumbline/training/testing"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { late, runOnline } from "../testing/online-case.ts"
import { expectClose, onWasm } from "../testing/preference-case.ts"
import { row, smallModel, transitionModel, unevenRows } from "../testing/small-models.ts"
import { a2po, a2poObjective, softValue } from "./a2po.ts"
import type { OwnBatch } from "./own-responses.ts"

const batchOf = (
  responses: ReadonlyArray<ReturnType<typeof row>>,
  values: ReadonlyArray<number>,
  reference: ReadonlyArray<number>
): OwnBatch => ({
  responses,
  rows: collate(responses, { layout: "packed", padId: 0 }),
  referenceLogProbs: Float32Array.from(reference),
  values: Float32Array.from(values),
  tokens: responses.reduce((sum, { ids }) => sum + ids.length, 0),
  origins: responses.map((_, i) => `row ${i}`)
})

describe("the value of a prompt", () => {
  it("is β·log mean exp(r/β), from the mean to the best", () => {
    // ½·ln((e² + e⁰)/2) = 0.7168904
    expect(softValue([1, 0], 0.5)).toBeCloseTo(0.7168904, 6)
    expect(softValue([1, 0, 4], 1e6)).toBeCloseTo(5 / 3, 4)
    expect(softValue([1, 0, 4], 1e-3)).toBeCloseTo(4, 2)
    expect(softValue([1e4, -1e4], 0.5)).toBeCloseTo(1e4 - 0.5 * Math.LN2, 6)
  })
})

describe("the loss", () => {
  onWasm("is (β·log-ratio − advantage)², of which the log-ratio of the whole response is pulled to advantage/β", () => {
    // log π(1 2 | 0) = ln(¼·0.7) = −1.7429693; log-ratio 0.2570307: (0.5·0.2570307 − 0.4)² = 0.0737039
    const policy = transitionModel([
      [0.5, 0.25, 0.25],
      [0.1, 0.2, 0.7],
      [1 / 3, 1 / 3, 1 / 3]
    ]) as CausalLM
    const value = tf.tidy(
      () =>
        a2poObjective({ beta: 0.5 })
          .loss({ policy }, batchOf([row([0, 1, 2], 1)], [0.4], [-2]), undefined as never)
          .terms[0]!.values.dataSync()[0]!
    )
    expectClose([value], [0.0737039], 1e-6)
  })

  onWasm("pulls nowhere where the log-ratio is the advantage over β", () => {
    const policy = smallModel()
    const responses = [row([1, 2, 3, 4], 1), row([1, 5], 1)]
    const own = responses.map((one) => {
      const rows = collate([one], { layout: "packed", padId: 0 })
      return tf.tidy(() => tf.sum(policy.tokenLogProbs(rows).logProbs).dataSync()[0]!)
    })
    const batch = batchOf(responses, [0.3, -0.1], [own[0]! - 3, own[1]! + 1])
    const { gradients, metrics } = accumulate(a2poObjective({ beta: 0.1 }), { policy }, [batch])
    expectClose([metrics["loss"]!, metrics["grad_norm"]!, metrics["kl"]!], [0, 0, 1], 1e-4)
    tf.dispose(gradients)
    policy.dispose()
  })

  objectiveLaws("a2po", {
    objective: a2poObjective({ beta: 0.1 }),
    models: () => ({ policy: smallModel() }),
    splits: () =>
      [
        [[0, 1, 2, 3, 4, 5]],
        [
          [0, 1],
          [2, 3, 4, 5]
        ],
        [[5], [4, 0, 3], [2, 1]]
      ].map((split) =>
        split.map((units) =>
          batchOf(
            units.map((i) => unevenRows[i]!),
            units.map((i) => [0.9, 0, -0.5, 1, 0.2, 0.7][i]!),
            units.map((i) => -3 - i)
          )
        )
      )
  })
})

describe("a2po", () => {
  const sevens: RewardRule = { name: "sevens", score: ({ ids }) => ids.filter((id) => id === 7).length / ids.length }
  const algorithm = a2po({ seed: 3, sampling: { maxNewTokens: 5 }, beta: 0.05, valueBeta: 0.5, referenceSamples: 4 })

  it.live("raises the reward, from a loss that is the advantage squared", () =>
    Effect.gen(function* () {
      const { steps } = yield* runOnline(algorithm, { rules: [sevens], steps: 60, learningRate: 0.01 })
      expect(steps[0]!["kl"]).toBeCloseTo(0, 5)
      expect(late(steps, "reward", 10)).toBeGreaterThan(steps[0]!["reward"]! + 0.3)
    })
  )

  it.live("costs nothing where all responses, the reference's too, are equally good", () =>
    Effect.gen(function* () {
      const nothing: RewardRule = { name: "nothing", score: () => 1 }
      const { steps } = yield* runOnline(algorithm, { rules: [nothing], steps: 1 })
      expect(steps[0]).toMatchObject({ reward: 1, advantages: 0 })
      expect(steps[0]!["loss"]).toBeCloseTo(0, 8)
    })
  )

  it.live("moves no weight where nothing was judged", () =>
    Effect.gen(function* () {
      const abstains = (group: RewardGroup): JudgedGroup => ({
        responses: group.responses.map(() => ({ reward: undefined, parts: [] }))
      })
      const judge: RewardShape = { parts: [], judge: (groups) => Effect.succeed(groups.map(abstains)) }
      const { steps } = yield* runOnline(algorithm, { judge, steps: 2 })
      for (const metrics of steps) expect("grad_norm" in metrics || "advantages" in metrics).toBe(false)
    })
  )
})
