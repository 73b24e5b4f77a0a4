import { it } from "@effect/vitest"
import { collate } from "@plumbline/data"
import type { CausalLM } from "@plumbline/models"
import type { RewardRule } from "@plumbline/reward-model"
import { tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { runOnline } from "../testing/online-case.ts"
import { expectClose, gradientsOf, lossOf, onWasm, tablePair } from "../testing/preference-case.ts"
import { row } from "../testing/small-models.ts"
import { xpo, xpoLoss } from "./xpo.ts"

const settings = { beta: 0.1, exploration: 0.02 }

describe("xpo", () => {
  // −log σ(0.15) = 0.6209570 (the table's DPO); log π is −12 of the chosen response and −15 of the rejected one
  onWasm("is DPO's loss and α·log π of the reference's response, whichever side it is on", () => {
    expectClose(lossOf(xpoLoss(settings, Float32Array.of(1)), tablePair), [0.620957 - 0.02 * 12], 1e-6)
    expectClose(lossOf(xpoLoss(settings, Float32Array.of(0)), tablePair), [0.620957 - 0.02 * 15], 1e-6)
  })

  onWasm("pushes the reference's response down by α besides", () => {
    // β·σ(−0.15) = 0.1 · 0.4625702
    const { chosen, rejected } = gradientsOf(xpoLoss(settings, Float32Array.of(0)), tablePair)
    expectClose([...chosen, ...rejected], [-0.04625702, 0.04625702 + 0.02], 1e-6)
    const other = gradientsOf(xpoLoss(settings, Float32Array.of(1)), tablePair)
    expectClose([...other.chosen, ...other.rejected], [-0.04625702 + 0.02, 0.04625702], 1e-6)
  })

  const sevens: RewardRule = {
    name: "sevens",
    score: ({ ids }) => ids.filter((id) => id === 7).length / ids.length
  }
  const likesSevens = (policy: CausalLM): number =>
    tf.tidy(
      () =>
        tf
          .sum(policy.tokenLogProbs(collate([row([1, 7, 7, 7], 1)], { layout: "packed", padId: 0 })).logProbs)
          .dataSync()[0]!
    )

  it.live("raises the reward, and comes to win against the reference", () =>
    Effect.gen(function* () {
      const algorithm = xpo({ seed: 3, sampling: { maxNewTokens: 5 }, beta: 0.1, exploration: 1e-4 })
      const start = yield* runOnline(algorithm, { rules: [sevens], steps: 1, learningRate: 1e-30 }, likesSevens)
      const { seen, steps } = yield* runOnline(
        algorithm,
        { rules: [sevens], steps: 40, learningRate: 0.01 },
        likesSevens
      )
      expect(seen).toBeGreaterThan(start.seen + 1)
      const won = steps.slice(-10).flatMap((metrics) => metrics["pairs/won"] ?? [])
      expect(won.reduce((sum, share) => sum + share, 0) / won.length).toBeGreaterThan(0.7)
      // the first pair is of two responses: the same draws would make equal ones, and no pair
      expect("loss" in steps[0]!).toBe(true)
    })
  )
})
