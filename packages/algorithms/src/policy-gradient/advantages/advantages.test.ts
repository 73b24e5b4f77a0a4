import { describe, expect, it } from "vitest"
import { expectClose } from "../../testing/preference-case.ts"
import type { Advantage, RewardedResponses } from "./advantage.ts"
import { batchBaseline, greedyBaseline, lengthWeightedBaseline } from "./baselines.ts"
import { bestOfGroup } from "./best-of-group.ts"
import { normalizedByReward } from "./by-reward.ts"
import { generalizedAdvantage } from "./generalized.ts"
import { groupCentred, groupNormalized } from "./group-normalized.ts"
import { leaveOneOut } from "./leave-one-out.ts"
import { whitenedGroups, whitenedReturns } from "./reinforce-plus-plus.ts"
import { rewardsByToken } from "./token-rewards.ts"
import { whiten } from "./whiten.ts"

const responses = (
  rewards: ReadonlyArray<number>,
  others: Partial<Record<"groups" | "lengths" | "ended", ReadonlyArray<number>>> &
    Partial<Omit<RewardedResponses, "groups" | "ended">> = {}
): RewardedResponses => ({
  rewards: Float64Array.from(rewards),
  parts: {},
  masks: rewards.map((_, r) => new Uint8Array(others.lengths?.[r] ?? 1).fill(1)),
  ...others,
  groups: Int32Array.from(others.groups ?? rewards.map(() => 0)),
  ended: Uint8Array.from(others.ended ?? rewards.map(() => 1))
})

/** Advantage of each response's first token. */
const firsts = (advantage: Advantage, given: RewardedResponses) => advantage.of(given).tokens.map((row) => row[0]!)

// two groups, interleaved, so that rows of a group are no neighbours
const groups = [0, 1, 0, 1, 0, 1, 0, 1]
const interleaved = [1, 0, 0, 0, 0, 0, 1, 1]
const of = (advantage: Advantage) => firsts(advantage, responses(interleaved, { groups }))

describe("advantages of [1, 0, 0, 1] and [0, 0, 0, 1]", () => {
  // float64, from the formulas
  it("GRPO: ±0.86587543, and ±(R − ¼)/(½ + 10⁻⁴)", () => {
    const g = 0.86587543
    const [low, high] = [-0.25 / 0.5001, 0.75 / 0.5001]
    expectClose(of(groupNormalized({ scale: "group" })), [g, low, -g, low, -g, low, g, high], 1e-8)
  })
  it("Dr.GRPO: the group's mean alone", () => {
    expectClose(of(groupNormalized({ scale: "none" })), [0.5, -0.25, -0.5, -0.25, -0.5, -0.25, 0.5, 0.75], 1e-12)
  })
  it("GRPO scaled by the rollout: deviation of 3 ones in 8", () => {
    // sum of squares 8·(3/8)(5/8) = 15/8
    const s = Math.sqrt(15 / 8 / 7) + 1e-4
    const expected = [0.5, -0.25, -0.5, -0.25, -0.5, -0.25, 0.5, 0.75].map((a) => a / s)
    expectClose(of(groupNormalized({ scale: "batch" })), expected, 1e-12)
  })
  it("RLOO: ±⅔, and −⅓ beside 1", () => {
    const t = 2 / 3
    expectClose(of(leaveOneOut({ endedOnly: false, scale: false })), [t, -t / 2, -t, -t / 2, -t, -t / 2, t, 1], 1e-8)
  })
  it("RLOO scaled: divided by the deviation of the others where they differ", () => {
    // of [0,0,1]: b ⅓, variance ⅓ − 1/9 = 2/9; of [1,0,1]: b ⅔, 2/9; of [0,0,1] for a 0: −⅓; of [0,0,0]: 1, undivided
    const s = Math.sqrt(2 / 9)
    const [a, b] = [2 / 3 / s, -1 / 3 / s]
    expectClose(of(leaveOneOut({ endedOnly: false, scale: true })), [a, b, -a, b, -a, b, a, 1], 1e-8)
  })
  it("REINFORCE++-baseline: ±1 and −½, −½, −½, 1½", () => {
    expectClose(of(whitenedGroups()), [1, -0.5, -1, -0.5, -1, -0.5, 1, 1.5], 1e-6)
  })
  it("GPG: the group's mean, twice as much where one of two groups teaches nothing", () => {
    expectClose(of(groupCentred()), [0.5, -0.25, -0.5, -0.25, -0.5, -0.25, 0.5, 0.75], 1e-12)
    const half = responses([1, 0.3, 0, 0.3], { groups: [0, 1, 0, 1] })
    expectClose(firsts(groupCentred(), half), [1, 0, -1, 0], 1e-12)
    expectClose(firsts(groupCentred(), responses([2, 2])), [0, 0], 1e-12)
  })
  it("REINFORCE: the mean of all", () => {
    expectClose(
      of(batchBaseline()),
      interleaved.map((reward) => reward - 3 / 8),
      1e-12
    )
  })
})

describe("advantages", () => {
  it("ReMax: R − R(greedy)", () => {
    const given = responses([1, 0, 0.5], { greedyRewards: Float64Array.of(0.25, 0.25, 1) })
    expectClose(firsts(greedyBaseline(), given), [0.75, -0.25, -0.5], 1e-12)
  })

  it("OPO: Σ length·R / Σ length = ½ for lengths 10, 20, 30, 40", () => {
    const given = responses([1, 0, 0, 1], { lengths: [10, 20, 30, 40] })
    expectClose(firsts(lengthWeightedBaseline(), given), [0.5, -0.5, -0.5, 0.5], 1e-12)
  })

  it("pass@k: the best alone, 1.3587", () => {
    expectClose(firsts(bestOfGroup(), responses([0.2, 0.9, 0.5, 0.4])), [0, 1.3587, 0, 0], 1e-4)
  })

  it("GDPO: each reward in its group first", () => {
    const parts = { a: Float64Array.of(1, 0, 0, 1), b: Float64Array.of(0.1, 0.2, 0.3, 0.4) }
    const given = responses([1.1, 0.2, 0.3, 1.4], { parts })
    // float64, from the formula; not .59151, −.92951, −.76051, 1.09851, which is summed first
    expectClose(firsts(normalizedByReward({ weights: {} }), given), [-0.20877, -0.88627, -0.33875, 1.43379], 1e-5)
    // b alone: (.1 − .25) / (.1290994 + 10⁻⁴) over its own deviation again
    const alone = firsts(normalizedByReward({ weights: { a: 0 } }), given)
    expectClose(
      alone,
      [-1.5, -0.5, 0.5, 1.5].map((x) => x / 1.2909944),
      2e-4
    )
  })

  it("leave-one-out baselines of NeMo-Aligner: two groups, one answer without an end", () => {
    const rewards = [1, 0, 2, -3, 5, 7, -1, 0]
    const given = responses(rewards, { groups: [0, 0, 1, 0, 0, 1, 1, 1], ended: [1, 1, 1, 1, 1, 1, 1, 0] })
    const baselines = firsts(leaveOneOut({ endedOnly: true, scale: false }), given).map((a, r) => rewards[r]! - a)
    // its unit test
    expectClose(baselines, [2 / 3, 1, 3, 2, -2 / 3, 1 / 2, 9 / 2, 4], 1e-12)
  })

  it("leave-one-out: nothing is learnt where fewer than two answers ended", () => {
    const given = responses([3, 1, 2], { ended: [1, 0, 0] })
    expect(firsts(leaveOneOut({ endedOnly: true, scale: false }), given)).toEqual([0, 0, 0])
  })

  it("penalties of counted tokens are part of a response's reward", () => {
    const tokenRewards = [Float64Array.of(-0.25, -9, -0.25), Float64Array.of(0, 0, 0)]
    const given = responses([1, 0], { masks: [Uint8Array.of(1, 0, 1), Uint8Array.of(1, 1, 1)], tokenRewards })
    const { tokens } = groupNormalized({ scale: "none" }).of(given)
    // rewards ½ and 0; the middle token is not the policy's
    expect(tokens.map((row) => [...row])).toEqual([
      [0.25, 0, 0.25],
      [-0.25, -0.25, -0.25]
    ])
  })

  it("the reward sits on the last counted token, penalties on each: NeMo-Aligner's placement", () => {
    // R = [1, 2] on rows of 4 and 7 predictions, KL .01 a token
    const kl = [4, 7].map((length) => new Float64Array(length).fill(-0.01))
    const placed = rewardsByToken(responses([1, 2], { lengths: [4, 7], tokenRewards: kl }))
    expectClose([...placed[0]!], [-0.01, -0.01, -0.01, 0.99], 1e-12)
    expectClose([...placed[1]!], [...Array.from({ length: 6 }, () => -0.01), 1.99], 1e-12)
    // a tool wrote the last token
    expect([...rewardsByToken(responses([1], { masks: [Uint8Array.of(1, 1, 0)] }))[0]!]).toEqual([0, 1, 0])
  })
})

describe("generalized advantages", () => {
  const gae = (discount: number, gaeLambda: number) => generalizedAdvantage({ discount, gaeLambda, whiten: false })
  const tokens = (
    advantage: Advantage,
    values: ReadonlyArray<number>,
    penalties: ReadonlyArray<number>,
    mask: ReadonlyArray<number>
  ) =>
    advantage.of({
      ...responses([0]),
      masks: [Uint8Array.from(mask)],
      values: [values],
      tokenRewards: [Float64Array.from(penalties)]
    })

  it("are .751, .58, .4 for r = 0, 0, 1 and V = .2, .4, .6 at λ = .95; returns A + V", () => {
    const { returns, tokens: advantages } = tokens(gae(1, 0.95), [0.2, 0.4, 0.6], [0, 0, 1], [1, 1, 1])
    expectClose([...advantages[0]!], [0.751, 0.58, 0.4], 1e-12)
    expectClose([...returns![0]!], [0.951, 0.98, 1], 1e-12)
  })

  it("are NeMo-Aligner's .5, 0, .5, −3 at λ = 0, γ = ½", () => {
    const { tokens: advantages } = tokens(gae(0.5, 0), [0, 1, 2, 3], [0, 0, 1, 0], [1, 1, 1, 1])
    expectClose([...advantages[0]!], [0.5, 0, 0.5, -3], 1e-12)
  })

  it("carry values across what a tool wrote: .751, and not .70345", () => {
    const { tokens: advantages } = tokens(gae(1, 0.95), [0.2, 9, 0.4, 0.6], [0, 7, 0, 1], [1, 0, 1, 1])
    expectClose([...advantages[0]!], [0.751, 0, 0.58, 0.4], 1e-12)
  })

  it("whitened, have mean 0 and population variance 1 over the counted tokens of all rows", () => {
    const masks = [Uint8Array.of(1, 0, 1), Uint8Array.of(1)]
    const rows = [Float64Array.of(1, 999, 2), Float64Array.of(6)]
    // mean 3, squares 4 + 1 + 9 = 14
    const s = Math.sqrt(14 / 3)
    const population = whiten(rows, masks, { variance: "population", center: true })
    expectClose([...population[0]!, ...population[1]!], [-2 / s, 0, -1 / s, 3 / s], 1e-8)
    const sample = whiten(rows, masks, { variance: "sample", center: false })
    const n = Math.sqrt(14 / 2)
    expectClose([...sample[0]!, ...sample[1]!], [-2 / n + 3, 0, -1 / n + 3, 3 / n + 3], 1e-8)
  })

  it("whitened, are what PPO trains on, while returns stay in the reward's units", () => {
    const advantage = generalizedAdvantage({ discount: 1, gaeLambda: 0.95, whiten: true })
    const { returns, tokens: advantages } = tokens(advantage, [0.2, 0.4, 0.6], [0, 0, 1], [1, 1, 1])
    // mean .577, deviations .174, .003, −.177
    const s = Math.sqrt((0.174 ** 2 + 0.003 ** 2 + 0.177 ** 2) / 3 + 1e-8)
    expectClose([...advantages[0]!], [0.174 / s, 0.003 / s, -0.177 / s], 1e-9)
    expectClose([...returns![0]!], [0.951, 0.98, 1], 1e-12)
  })

  it("REINFORCE++: discounted returns, whitened", () => {
    const given = {
      ...responses([1, 0], { lengths: [2, 1] }),
      tokenRewards: [Float64Array.of(-0.1, -0.2), Float64Array.of(-0.3)]
    }
    // returns −.1 + .5·.8 = .3, .8, −.3: mean 4/15, squares .0011… + .2844… + .3211…
    const raw = [0.3, 0.8, -0.3]
    const middle = 0.8 / 3
    const s = Math.sqrt(raw.reduce((sum, x) => sum + (x - middle) ** 2, 0) / 2 + 1e-8)
    const { tokens: rows } = whitenedReturns({ discount: 0.5 }).of(given)
    expectClose(
      [...rows[0]!, ...rows[1]!],
      raw.map((x) => (x - middle) / s),
      1e-12
    )
  })
})
