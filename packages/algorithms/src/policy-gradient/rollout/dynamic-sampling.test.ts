import { it } from "@effect/vitest"
import type { RewardRule } from "@plumbline/reward-model"
import { samplingOptions } from "@plumbline/rollout-generation"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { runOnline } from "../../testing/online-case.ts"
import { groupNormalized } from "../advantages/group-normalized.ts"
import { normalizedByReward } from "../advantages/by-reward.ts"
import { grpo } from "../grpo.ts"
import { reinforce } from "../reinforce.ts"
import { fill } from "./fill.ts"
import type { RolloutGroup } from "./rollout.ts"
import { sparePrompts } from "./spare-prompts.ts"
import { teaches } from "./teaches.ts"

describe("filling a rollout", () => {
  /** Of eight prompts the second, third and fifth teach nothing. */
  const flat = new Set([1, 2, 4])
  const filled = (most: number, together: boolean, delays: (place: number) => number = () => 0) => {
    const asked: Array<ReadonlyArray<number>> = []
    const make = (places: ReadonlyArray<number>) => {
      asked.push(places)
      return Effect.delay(Effect.succeed(places), Math.max(...places.map(delays)))
    }
    const teaches = (place: number) => !flat.has(place)
    return Effect.map(fill({ wanted: 4, most, together, make, teaches }), (groups) => ({ ...groups, asked }))
  }

  it.live("asks for one more for each that teaches nothing, whatever is finished first", () =>
    Effect.gen(function* () {
      for (const delays of [() => 0, (place: number) => 2 * place, (place: number) => 20 - 2 * place]) {
        const { aside, asked, kept } = yield* filled(8, false, delays)
        expect(kept).toEqual([0, 3, 5, 6])
        expect(aside).toEqual([1, 2, 4])
        expect(asked.flat().toSorted()).toEqual([0, 1, 2, 3, 4, 5, 6])
      }
    })
  )

  it.live("takes the same ones in their order where all are judged together", () =>
    Effect.gen(function* () {
      const { aside, asked, kept } = yield* filled(8, true)
      expect([kept, aside]).toEqual([
        [0, 3, 5, 6],
        [1, 2, 4]
      ])
      expect(asked).toEqual([[0, 1, 2, 3], [4, 5], [6]])
    })
  )

  it.live("stays within its bound", () =>
    Effect.gen(function* () {
      for (const together of [false, true]) {
        expect(yield* filled(6, together)).toMatchObject({ kept: [0, 3, 5], aside: [1, 2, 4] })
      }
    })
  )
})

describe("a group", () => {
  const group = (
    rewards: ReadonlyArray<number | undefined>,
    ended = true,
    parts?: ReadonlyArray<readonly number[]>
  ) => {
    const responses = rewards.map((reward, i) => ({
      responseIds: Int32Array.of(1, 2),
      samplingLogProbs: Float32Array.of(-1, -1),
      policyVersions: Int32Array.of(0, 0),
      ended: ended || i > 0,
      text: "",
      reward,
      parts: (parts?.[i] ?? []).map((value, p) => ({ name: `part ${p}`, weight: 1, raw: value, value }))
    }))
    const made: RolloutGroup = {
      place: 0,
      origin: "a",
      promptIds: Int32Array.of(1),
      promptText: "",
      seed: 1,
      responses
    }
    return made
  }
  const advantage = groupNormalized({ scale: "group" })

  it("teaches nothing where all rewards are equal, or nobody has one", () => {
    const of = (rewards: ReadonlyArray<number | undefined>) =>
      teaches(group(rewards), { advantage, maskTruncated: false })
    expect(of([1, 0, 0])).toBe(true)
    expect(of([0, 0, 0])).toBe(false)
    // their mean is 0.10000000000000002
    expect(of([0.1, 0.1, 0.1])).toBe(false)
    expect(of([1, 1, undefined])).toBe(false)
    expect(of([undefined, undefined])).toBe(false)
  })

  it("teaches nothing where the only one that differs was cut, and those do not count", () => {
    // without the others' mean no more than the first has an advantage
    const best = { ...advantage, of: (all: Parameters<typeof advantage.of>[0]) => firstOnly(advantage.of(all)) }
    expect(teaches(group([1, 0, 0], false), { advantage: best, maskTruncated: true })).toBe(false)
    expect(teaches(group([1, 0, 0], false), { advantage: best, maskTruncated: false })).toBe(true)
  })

  it("teaches where equal sums are made of parts that each have their own advantage", () => {
    const rows = [
      [1, 0.1],
      [0, 1.1],
      [0.5, 0.6]
    ]
    const apart = group([1.1, 1.1, 1.1], true, rows)
    const weights = { "part 0": 1, "part 1": 0.5 }
    expect(teaches(apart, { advantage: normalizedByReward({ weights }), maskTruncated: false })).toBe(true)
    expect(teaches(apart, { advantage, maskTruncated: false })).toBe(false)
  })

  const firstOnly = ({ tokens }: ReturnType<typeof advantage.of>) => ({
    tokens: tokens.map((own, i) => (i === 0 ? own : own.map(() => 0)))
  })
})

it("spare prompts are others, each once, in an order of the rollout's own", () => {
  const units = Array.from({ length: 9 }, (_, i) => ({ origin: `row ${i}` }) as never as { origin: string })
  const spares = (index: number, most = 20) =>
    sparePrompts(units as never, Int32Array.of(2, 5), { index, most, seed: 1 }).map(({ origin }) => origin)
  expect(spares(0).toSorted()).toEqual([0, 1, 3, 4, 6, 7, 8].map((i) => `row ${i}`))
  expect(spares(1)).not.toEqual(spares(0))
  expect(spares(0, 3)).toEqual(spares(0).slice(0, 3))
})

describe("a run", () => {
  const options = { samples: 4, sampling: samplingOptions({ maxNewTokens: 2 }), seed: 3 }
  /** Not all groups differ in it. */
  const rare: RewardRule = { name: "rare", score: ({ ids }) => (ids[0] === 7 || ids[0] === 3 ? 1 : 0) }
  const constant: RewardRule = { name: "constant", score: () => 1 }

  it.live("learns from groups with a spread alone, says how many it threw away, and goes on where none is left", () =>
    Effect.gen(function* () {
      const { steps } = yield* runOnline(grpo({ ...options, dynamicSampling: 1 }), { rules: [rare], steps: 8 })
      const plain = yield* runOnline(grpo(options), { rules: [rare], steps: 1 })
      expect(plain.steps[0]!["frac_reward_zero_std"]).toBeGreaterThan(0)
      for (const metrics of steps) {
        const [aside, unfilled] = [metrics["rollout/thrown_away"]!, metrics["rollout/unfilled"]!]
        // four prompts a rollout, and four others at most
        const kept = 4 - unfilled
        expect(metrics["frac_reward_zero_std"]).toBeCloseTo(aside / (kept + aside), 12)
        expect(unfilled === 0 || aside + kept === 8).toBe(true)
        expect("loss" in metrics).toBe(kept > 0)
      }
      expect(steps[0]!["rollout/thrown_away"]).toBeGreaterThan(0)
      expect(steps[0]!["rollout/unfilled"]).toBe(0)
      // all is learnt now and then
      expect(steps.filter((metrics) => metrics["rollout/unfilled"] === 4).map(({ reward }) => reward)).toContain(1)
    })
  )

  it.live("ends with the cause where no prompt teaches anything", () =>
    Effect.gen(function* () {
      const lost = yield* Effect.flip(
        runOnline(grpo({ ...options, dynamicSampling: 1 }), { rules: [constant], steps: 2 })
      )
      expect(lost).toMatchObject({ _tag: "NothingToLearn", prompts: 8 })
    })
  )

  it.live("refuses it for an advantage that compares no responses", () =>
    Effect.gen(function* () {
      const algorithm = reinforce({ ...options, samples: 1, dynamicSampling: 1 })
      const checking = { ...algorithm, trainable: Effect.andThen(algorithm.check!, algorithm.trainable) }
      const invalid = yield* Effect.flip(runOnline(checking, { rules: [rare], steps: 2 }))
      expect(invalid).toMatchObject({ _tag: "OptionsInvalid", option: "--dynamic-sampling" })
    })
  )
})
