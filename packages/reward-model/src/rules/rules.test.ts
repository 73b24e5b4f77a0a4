import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Reward } from "../reward.ts"
import type { RewardGroup } from "../reward-request.ts"
import { boxed, lastNumber, afterHashes, tagged } from "./answer-text.ts"
import { exactAnswer } from "./exact-answer.ts"
import { length, lengthWithin } from "./length.ts"
import { numericAnswer } from "./numeric-answer.ts"
import { pattern } from "./pattern.ts"
import { type RewardRule, ruleReward } from "./rule.ts"
import { taggedFormat } from "./tagged-format.ts"

const group = (answer: string | undefined, ...texts: ReadonlyArray<string>): RewardGroup => ({
  row: "train.jsonl:17",
  prompt: { ids: Int32Array.of(1), text: "?" },
  responses: texts.map((text) => ({ ids: Int32Array.from(text.split(" "), () => 7), text })),
  answer
})

const scores = (rule: RewardRule, answer: string | undefined, ...texts: ReadonlyArray<string>) =>
  Effect.runSync(ruleReward(rule).judge([group(answer, ...texts)]))[0]!.responses.map(({ reward }) => reward)

describe("numericAnswer", () => {
  const solution = "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\n#### 72"

  it("compares what follows the last ####, exactly and whatever its form", () => {
    const right = [
      "#### 72",
      "a\n#### 72.0",
      "####72",
      "#### $72",
      "#### 144/2",
      "#### 72.",
      "#### 7.2e1",
      "#### 72 clips"
    ]
    const wrong = ["#### 73", "72", "#### -72", "####", "#### 720", "#### 72\n#### 71", "#### 72 or 73", "#### 7,2"]
    assert.deepStrictEqual(
      scores(numericAnswer(), solution, ...right),
      right.map(() => 1)
    )
    assert.deepStrictEqual(
      scores(numericAnswer(), solution, ...wrong),
      wrong.map(() => 0)
    )
  })

  it("reads thousands, signs and numbers beyond float64", () => {
    assert.deepStrictEqual(scores(numericAnswer(), "#### 1,234,567", "#### 1234567", "#### 1,234,568"), [1, 0])
    assert.deepStrictEqual(scores(numericAnswer(), "-3", "#### −3", "#### 3", "#### - 3"), [1, 0, 0])
    // 2^53 and 2^53 + 1 are one float64
    assert.deepStrictEqual(scores(numericAnswer(), "9007199254740993", "#### 9007199254740992"), [0])
    assert.deepStrictEqual(scores(numericAnswer(), "1", "#### 1e999999999", "#### 1/0"), [0, 0])
  })

  it("finds answers elsewhere where it is told to, the first that finds one", () => {
    const rule = numericAnswer({ from: [afterHashes, boxed, tagged("answer"), lastNumber] })
    const texts = ["so \\boxed{72}", "<answer> 72 </answer> 5", "it is 70, no, 72 clips", "none"]
    assert.deepStrictEqual(scores(rule, solution, ...texts), [1, 1, 1, 0])
    assert.deepStrictEqual(scores(numericAnswer({ tolerance: 0.01 }), "0.333", "#### 1/3", "#### 0.4"), [1, 0])
  })

  it("fails on a row that has no answer, or one that is no number", () => {
    for (const answer of [undefined, " ", "#### many"]) {
      const failure = Effect.runSync(Effect.flip(ruleReward(numericAnswer()).judge([group(answer, "#### 1")])))
      assert.strictEqual(failure._tag, "RewardInputMissing")
      assert.match(failure.message, /^train\.jsonl:17: reward "numeric_answer" needs "answer"/)
    }
  })
})

describe("exactAnswer", () => {
  it("compares texts, white space evened out", () => {
    assert.deepStrictEqual(scores(exactAnswer(), "New  York", " New\nYork ", "new york", "New York!"), [1, 0, 0])
    assert.deepStrictEqual(scores(exactAnswer({ caseSensitive: false }), "New York", "NEW YORK"), [1])
    assert.deepStrictEqual(scores(exactAnswer({ from: boxed }), "\\boxed{a{b}}", "x \\boxed{a{b}} y", "a{b}"), [1, 0])
  })
})

describe("pattern", () => {
  it("judges the same text in one way, whatever the flags", () => {
    const rule = pattern({ expression: /ab+/gy })
    assert.deepStrictEqual(scores(rule, undefined, "xabb", "xabb", "xa"), [1, 1, 0])
    const whole = pattern({ expression: /a|b+/m, whole: true })
    assert.deepStrictEqual(scores(whole, undefined, " bb ", "a\nc", "ab"), [1, 0, 0])
  })
})

describe("taggedFormat", () => {
  it("takes the sections in order, each once and none empty", () => {
    const rule = taggedFormat({ tags: ["think", "answer"] })
    const right = ["<think>a\n</think>\n<answer>b</answer>", " <think>1 < 2</think><answer>x</answer> "]
    const wrong = [
      "<answer>b</answer><think>a</think>",
      "<think>a</think><answer> </answer>",
      "<think>a</think><answer>b</answer> and more",
      "well <think>a</think><answer>b</answer>",
      "<think>a</think><think>a</think><answer>b</answer>",
      "<think><answer>a</answer></think><answer>b</answer>",
      "<think>a"
    ]
    assert.deepStrictEqual(scores(rule, undefined, ...right), [1, 1])
    assert.deepStrictEqual(
      scores(rule, undefined, ...wrong),
      wrong.map(() => 0)
    )
  })
})

describe("length", () => {
  it("counts tokens or code points", () => {
    assert.deepStrictEqual(scores(length({ weight: -0.5 }), undefined, "a b c", "a"), [-1.5, -0.5])
    assert.deepStrictEqual(scores(length({ of: "characters" }), undefined, "a𝒷c"), [3])
    assert.deepStrictEqual(
      scores(lengthWithin({ min: 2, max: 3 }), undefined, "a", "a b", "a b c", "a b c d"),
      [0, 1, 1, 0]
    )
  })
})

describe("Reward", () => {
  it.effect("adds weighted parts, names them, and keeps the order of groups", () =>
    Effect.gen(function* () {
      const reward = yield* Reward
      assert.deepStrictEqual(reward.parts, [
        { name: "numeric_answer", weight: 2 },
        { name: "length", weight: -0.25 }
      ])
      const [first, second] = yield* reward.judge([group("5", "#### 5", "#### 6 b c"), group("6", "#### 6")])
      assert.deepStrictEqual(
        first!.responses.map((one) => one.reward),
        [1.5, -1]
      )
      assert.deepStrictEqual(second!.responses[0], {
        reward: 1.5,
        parts: [
          { name: "numeric_answer", weight: 2, raw: 1, value: 1 },
          { name: "length", weight: -0.25, raw: 2, value: 2 }
        ]
      })
    }).pipe(Effect.provide(Reward.layerRules(numericAnswer({ weight: 2 }), length({ weight: -0.25 }))))
  )

  it("refuses a rule's NaN by row, part and response, and lets a rule that breaks break", () => {
    const nan: RewardRule = { name: "odd", score: ({ text }) => Number(text) }
    const failure = Effect.runSync(Effect.flip(ruleReward(nan).judge([group(undefined, "1", "x")])))
    assert.strictEqual(failure.message, 'train.jsonl:17: reward "odd" of response 1 is NaN, not a finite number')
    const broken: RewardRule = {
      name: "broken",
      score: () => {
        throw new TypeError("oops")
      }
    }
    assert.throws(() => Effect.runSync(ruleReward(broken).judge([group(undefined, "1")])), "oops")
    assert.throws(() => ruleReward(nan, nan), 'two rules are named "odd"')
  })
})
