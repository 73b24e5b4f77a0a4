import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { checkedReward } from "./checked-reward.ts"
import type { JudgedGroup } from "./reward-request.ts"
import { judgement, type RewardShape } from "./reward-shape.ts"
import { ruleReward } from "./rules/rule.ts"

const response = (text: string) => ({ text, ids: Int32Array.of(1) })
const group = (row: string, ...texts: ReadonlyArray<string>) => ({
  row,
  prompt: { ids: Int32Array.of(), text: "" },
  responses: texts.map(response)
})
const groups = [group("a:1", "x", "y"), group("a:2", "z")]

const judged = (value: unknown) => judgement([{ name: "mine", weight: 1, raw: 1, value: value as number }])
const right = [{ responses: [judged(1), judged(2)] }, { responses: [judged(3)] }]

const answering = (judge: () => unknown) =>
  checkedReward({ parts: [{ name: "mine", weight: 1 }], judge: judge as RewardShape["judge"] }).judge(groups)

describe("a reward of one's own", () => {
  it.effect("passes what keeps to the contract, an abstention too", () =>
    Effect.gen(function* () {
      const abstaining = [right[0]!, { responses: [judged(undefined)] }]
      expect(yield* answering(() => Effect.succeed(right))).toBe(right)
      expect(yield* answering(() => Effect.succeed(abstaining))).toBe(abstaining)
    })
  )

  for (const [what, judge, message] of [
    ["a Promise", () => Promise.resolve(right), "its judge gives a Promise, not an Effect"],
    ["its answer itself", () => right, "its judge gives an Array, not an Effect"],
    ["no groups", () => Effect.succeed(undefined), 'a:1: reward "mine" failed: it judged nothing of 2 groups'],
    ["a group too few", () => Effect.succeed(right.slice(1)), "it judged 1 of 2 groups"],
    ["a response too few", () => Effect.succeed([{ responses: [judged(1)] }, right[1]]), "a:1: reward"],
    [
      "a response too many",
      () => Effect.succeed([right[0], { responses: [judged(1), judged(2)] }]),
      'a:2: reward "mine" failed: it judged 2 of 1 responses'
    ],
    ["no judgement", () => Effect.succeed([right[0], { responses: [3] }]), "response 0 has no parts"],
    [
      "a word for a number",
      () => Effect.succeed([right[0], { responses: [{ reward: "3", parts: [] }] }]),
      "its reward of response 0 is a string, not a number"
    ],
    [
      "NaN",
      () => Effect.succeed([{ responses: [judged(1), judged(NaN)] }, right[1]]),
      'a:1: reward "mine" of response 1 is NaN'
    ]
  ] as const) {
    it.effect(`is refused where it gives ${what}`, () =>
      Effect.gen(function* () {
        expect((yield* Effect.flip(answering(judge as () => ReadonlyArray<JudgedGroup>))).message).toContain(message)
      })
    )
  }

  for (const [what, value] of [
    ["a boolean", true],
    ["a string", "1"],
    ["nothing", undefined],
    ["a Promise", Promise.resolve(1)]
  ] as const) {
    it.effect(`is refused where a rule of it gives ${what}`, () =>
      Effect.gen(function* () {
        const rule = {
          name: "mine",
          score: ({ text }: { readonly text: string }) => (text === "y" ? value : 1) as number
        }
        expect(yield* Effect.flip(ruleReward(rule).judge(groups))).toMatchObject({
          _tag: "RewardFailed",
          row: "a:1",
          part: "mine",
          reason: `the rule gives ${what} for response 1, not a number`
        })
      })
    )
  }
})
