import { Reward } from "@plumbline/reward-model"
import { Effect, Schema } from "effect"
import { describe, expect, it } from "vitest"
import { lossAndGradients } from "../../testing/policy-gradient-case.ts"
import { expectClose, onWasm } from "../../testing/preference-case.ts"
import type { RewardedResponses } from "../advantages/advantage.ts"
import { grpoAdvantage } from "./advantage-table.ts"
import { grpoCommand } from "./grpo-command.ts"
import { policyLoss } from "./loss-table.ts"

const flagsOf = (given: object) =>
  Schema.decodeUnknownSync(grpoCommand.options)({ model: "m", train: "t", output: "o", maxNewTokens: 4, ...given })

// float64, from the formulas, on the batch of `tableBatch`: what the command line makes of each name
const losses: ReadonlyArray<readonly [string, object, number]> = [
  ["grpo", {}, -0.0368630672],
  ["bnpo", {}, -0.2165924977],
  ["dapo", {}, -0.2165924977],
  ["dapo", { clipRangeHigh: 0.28 }, -0.2208730494],
  ["grpo", { clipRangeHigh: 0.28 }, -0.0404301935],
  ["dr_grpo", {}, -0.1353703111],
  ["luspo", { importanceSamplingLevel: "token" }, -0.5414812443],
  // (−3·.904837418 + 2·.8607079764) / 2
  ["luspo", {}, -0.4965481506],
  ["grpo", { importanceSamplingLevel: "sequence" }, -0.0220647208],
  ["grpo", { importanceSamplingLevel: "sequence_token" }, -0.0220647208],
  ["gspo", {}, -0.0220647208],
  ["gspo_token", {}, -0.0220647208],
  ["cispo", { cispoCap: 5 }, 0.2637201963],
  ["cispo", { cispoCap: 1.28, cispoFloor: 0.8 }, 0.3411079324],
  ["sapo", {}, -0.0885763142],
  ["vespo", {}, 0.5765551165],
  ["gmpo", {}, -0.0220647208],
  // −(−1 − .5 − 2 + .7 + 1.2) / 5
  ["gpg", {}, 0.32],
  // W = 1 at k = λ = 0: −A·log π
  ["vespo", { vespoKPos: 1e-9, vespoLambdaPos: 1e-9, vespoKNeg: 1e-9, vespoLambdaNeg: 1e-9 }, 0.32]
]

describe("plumb grpo --loss", () => {
  for (const [loss, given, expected] of losses) {
    onWasm(`${loss} ${JSON.stringify(given)} has the table's value`, () => {
      const made = Effect.runSync(policyLoss(flagsOf({ loss }).loss, flagsOf({ loss, ...given })))
      expectClose([lossAndGradients(made).value], [expected], 1e-6)
    })
  }

  onWasm("sapo's temperatures are those of the flags", () => {
    const value = (given: object) =>
      lossAndGradients(Effect.runSync(policyLoss("sapo", flagsOf({ loss: "sapo", ...given })))).value
    const gate = (ratio: number, temperature: number) => 4 / temperature / (1 + Math.exp(-temperature * (ratio - 1)))
    const better = (t: number) => -[0.2, 0, -0.5].reduce((sum, gap) => sum + gate(Math.exp(gap), t), 0) / 3
    const worse = (t: number) => [-0.1, -0.2].reduce((sum, gap) => sum + gate(Math.exp(gap), t), 0) / 2
    expectClose([value({ sapoTemperaturePos: 2 })], [(better(2) + worse(1.05)) / 2], 1e-6)
    expectClose([value({ sapoTemperatureNeg: 3 })], [(better(1) + worse(3)) / 2], 1e-6)
  })

  it.each([
    ["gspo", { cispoFloor: 0.5 }, "--cispo-floor: is not read by --loss gspo"],
    ["cispo", { cispoCap: 5, clipRange: 0.3 }, "--clip-range: is not read by --loss cispo"],
    ["dapo", { vespoKNeg: 1 }, "--vespo-k-neg: is not read by --loss dapo"],
    ["gspo", { importanceSamplingLevel: "token" }, "--importance-sampling-level: is not read by --loss gspo"],
    ["gpg", { innerEpochs: 2 }, "--inner-epochs: --loss gpg has no ratio"],
    ["cispo", { cispoCap: 5, cispoFloor: 2 }, "weights of at least 2"]
  ] as const)("%s refuses %s", (loss, given, reason) => {
    expect(Effect.runSync(Effect.flip(policyLoss(loss, flagsOf({ loss, ...given })))).message).toContain(reason)
  })
})

const responses: RewardedResponses = {
  groups: Int32Array.of(0, 0, 0, 0),
  rewards: Float64Array.of(0.2, 0.9, 0.5, 0.4),
  parts: {},
  masks: [1, 2, 3, 4].map((length) => new Uint8Array(length).fill(1)),
  ended: Uint8Array.of(1, 1, 1, 1)
}

describe("plumb grpo --advantage", () => {
  const asked = (given: object) =>
    grpoAdvantage(flagsOf(given)).pipe(Effect.provideService(Reward, { parts: [] } as never))

  it.each([
    // deviation of the four .2943920: (R − ½) / (.2943920 + 10⁻⁴)
    [{}, [-0.3, 0.4, 0, -0.1].map((gap) => gap / 0.294492)],
    [{ scaleRewards: "none" }, [-0.3, 0.4, 0, -0.1]],
    // Σ length·R / Σ length = (.2 + 1.8 + 1.5 + 1.6) / 10
    [{ advantage: "opo" }, [-0.31, 0.39, -0.01, -0.11]],
    [{ advantage: "pass_at_k" }, [0, 1.3587, 0, 0]],
    [{ advantage: "gpg" }, [-0.3, 0.4, 0, -0.1]]
  ])("%s", (given, expected) => {
    const { tokens } = Effect.runSync(asked(given)).of(responses)
    expectClose(
      tokens.map((row) => row[0]!),
      expected,
      1e-4
    )
  })

  it.each([
    [{ advantage: "opo", scaleRewards: "none" }, "--scale-rewards: is not read by --advantage opo"],
    [{ advantage: "pass_at_k", normalizeEachReward: true }, "--normalize-each-reward: is not read by"]
  ])("refuses %s", (given, reason) => {
    expect(Effect.runSync(Effect.flip(asked(given))).message).toContain(reason)
  })
})
