import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { RewardFailed } from "../errors.ts"
import type { RewardGroup } from "../reward-request.ts"
import { judgement, type RewardShape } from "../reward-shape.ts"
import { combine } from "./combine.ts"
import { ensemble, uncertaintyWeighted, worstOf } from "./ensemble.ts"
import {
  batchStandardised,
  groupStandardised,
  type Normalisation,
  runningStandardised,
  standardisedBy
} from "./normaliser.ts"

type Values = ReadonlyArray<ReadonlyArray<number | undefined>>

/** A reward that says these values, group by group. */
const saying = (name: string, values: Values, weight = 1): RewardShape => ({
  parts: [{ name, weight }],
  judge: () =>
    Effect.succeed(
      values.map((group) => ({
        responses: group.map((value) => judgement([{ name, weight, raw: value, value }]))
      }))
    )
})

const groupsOf = (values: Values): ReadonlyArray<RewardGroup> =>
  values.map((group, g) => ({
    row: `r:${g}`,
    prompt: { ids: Int32Array.of(1), text: "" },
    responses: group.map(() => ({ ids: Int32Array.of(1), text: "" }))
  }))

const rewards = (reward: RewardShape, values: Values) =>
  Effect.runSync(reward.judge(groupsOf(values))).map(({ responses }) => responses.map((one) => one.reward))

const near = (
  found: ReadonlyArray<number | undefined>,
  expected: ReadonlyArray<number | undefined>,
  tolerance = 1e-4
) => {
  assert.strictEqual(found.length, expected.length)
  expected.forEach((value, i) =>
    value === undefined ? assert.isUndefined(found[i]) : assert.closeTo(found[i]!, value, tolerance)
  )
}

const normalised = (values: Values, normalise: Normalisation) =>
  rewards(combine([{ reward: saying("a", values), normalise }]), values)

describe("combine", () => {
  const values = [[1, 0], [0.5]]

  it("adds terms by their weights and those of their parts, under the terms' names", () => {
    const reward = combine([
      { reward: saying("a", values, 2), weight: 3 },
      { reward: saying("a", [[10, 20], [30]]), name: "other", weight: -0.1 }
    ])
    assert.deepStrictEqual(reward.parts, [
      { name: "a", weight: 6 },
      { name: "other/a", weight: -0.1 }
    ])
    assert.deepStrictEqual(rewards(reward, values), [[5, -2], [0]])
    assert.throws(() => combine([{ reward: saying("a", values) }, { reward: saying("a", values) }]), "name a term")
  })

  it("clips parts, then the whole", () => {
    const reward = combine(
      [{ reward: saying("a", [[9, -9]]), clip: { min: -1, max: 2 } }, { reward: saying("b", [[5, -5]]) }],
      { clip: { min: -3, max: 6 } }
    )
    assert.deepStrictEqual(rewards(reward, [[0, 0]]), [[6, -3]])
    const [judged] = Effect.runSync(reward.judge(groupsOf([[0, 0]])))
    assert.deepInclude(judged!.responses[0]!.parts[0], { raw: 9, value: 2 })
  })

  it("abstains where a term does, and fails where one fails", () => {
    const doubtful = [[1, undefined]]
    const reward = combine([{ reward: saying("a", [[1, 1]]) }, { reward: saying("b", doubtful) }])
    assert.deepStrictEqual(rewards(reward, doubtful), [[2, undefined]])
    const failing: RewardShape = {
      parts: [{ name: "c", weight: 1 }],
      judge: () => Effect.fail(new RewardFailed({ row: "r:0", part: "c", reason: "down" }))
    }
    const both = combine([{ reward: saying("a", values) }, { reward: failing }])
    assert.strictEqual(
      Effect.runSync(Effect.flip(both.judge(groupsOf(values)))).message,
      'r:0: reward "c" failed: down'
    )
  })
})

describe("normalisation", () => {
  it("by group: mean 0, n − 1 deviation 1, an abstention apart, one value alone 0", () => {
    // TRL's ±0.86587543 for [1, 0, 0, 1], ε 1e-4
    const [four, alone, doubtful] = normalised([[1, 0, 0, 1], [7], [3, undefined, 1]], groupStandardised())
    near(four!, [0.86587543, -0.86587543, -0.86587543, 0.86587543], 1e-7)
    near(alone!, [0])
    near(doubtful!, [Math.SQRT1_2, undefined, -Math.SQRT1_2], 1e-3)
  })

  it("gives GDPO's advantages: each reward by its group, then the sum by the batch", () => {
    // the reference table: rewards [1, 0, 0, 1] and [.1, .2, .3, .4] in one group
    const values = [[1, 0, 0, 1]]
    const sum = combine([
      { reward: saying("a", values), normalise: groupStandardised() },
      { reward: saying("b", [[0.1, 0.2, 0.3, 0.4]]), normalise: groupStandardised() }
    ])
    const whole = combine([
      {
        reward: {
          ...sum,
          parts: [{ name: "sum", weight: 1 }],
          judge: (groups) =>
            Effect.map(sum.judge(groups), (judged) =>
              judged.map(({ responses }) => ({
                responses: responses.map(({ reward }) =>
                  judgement([{ name: "sum", weight: 1, raw: reward, value: reward }])
                )
              }))
            )
        },
        normalise: batchStandardised()
      }
    ])
    near(rewards(whole, values)[0]!, [-0.20877, -0.88627, -0.33875, 1.43379], 2e-3)
  })

  it("by the batch and by numbers that are known", () => {
    near(normalised([[1, 2], [3]], batchStandardised()).flat(), [-1, 0, 1], 1e-3)
    near(normalised([[1, 2], [3]], standardisedBy(2, 0.5)).flat(), [-2, 0, 2])
    assert.throws(() => standardisedBy(0, 0)(), "is not above 0")
  })

  it("by all values since the beginning, which are remembered and restored", () => {
    const make = (values: Values) => combine([{ reward: saying("a", values), normalise: runningStandardised() }])
    const values = [
      [1, 2],
      [3, undefined]
    ]
    const reward = make(values)
    near(rewards(reward, values).flat(), [-1, 0, 1, undefined], 1e-3)
    const memory = Effect.runSync(reward.memory!.read)
    // 1, 2, 3: mean 2, Σ (v − 2)² = 2
    assert.deepStrictEqual(memory, { "a: count": 3, "a: mean": 2, "a: squares": 2 })
    const restored = make([[6]])
    Effect.runSync(restored.memory!.restore(memory))
    // 1, 2, 3, 6: mean 3, deviation √(14/3)
    near(rewards(restored, [[6]])[0]!, [3 / Math.sqrt(14 / 3)], 1e-3)
    assert.isUndefined(combine([{ reward: saying("a", values), normalise: batchStandardised() }]).memory)
  })
})

describe("ensemble", () => {
  const values = [[1, 4], [0]]
  const others = [[3, 4], [undefined]]
  const members = [saying("a", values), saying("a", others)]

  it("is the mean, the worst or the mean less doubt, and abstains with a member", () => {
    assert.deepStrictEqual(rewards(ensemble(members), values), [[2, 4], [undefined]])
    assert.deepStrictEqual(rewards(ensemble(members, { reduce: worstOf }), values), [[1, 4], [undefined]])
    assert.deepStrictEqual(rewards(ensemble(members, { quorum: 1 }), values), [[2, 4], [0]])
    // variance of 1 and 3 is 1
    assert.deepStrictEqual(rewards(ensemble(members, { reduce: uncertaintyWeighted(0.5) }), values)[0], [1.5, 4])
  })
})
