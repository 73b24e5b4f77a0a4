import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { jsonFormat } from "./json-format.ts"
import { overlong } from "./overlong.ts"
import { repetition } from "./repetition.ts"
import { type RewardRule, ruleReward } from "./rule.ts"
import { unfinished } from "./unfinished.ts"

const scores = (rule: RewardRule, ...texts: ReadonlyArray<string>) =>
  Effect.runSync(
    ruleReward(rule).judge([
      {
        row: "r:1",
        prompt: { ids: Int32Array.of(1), text: "" },
        responses: texts.map((text) => ({ text, ids: Int32Array.from(text.split(" "), (word) => word.length) }))
      }
    ])
  )[0]!.responses.map(({ reward }) => reward)

const tokens = (rule: RewardRule, ...counts: ReadonlyArray<number>) =>
  scores(rule, ...counts.map((count) => Array.from({ length: count }, () => "a").join(" ")))

describe("overlong", () => {
  it("rises over the buffer and is −1 beyond the length", () => {
    // DAPO's eq. 13 at L 100, c 20; the reference table has 81, 90 and 101
    const found = tokens(overlong({ maxLength: 100, buffer: 20 }), 1, 80, 81, 90, 100, 101, 500)
    assert.deepStrictEqual(found, [0, 0, -0.05, -0.5, -1, -1, -1])
    assert.throws(() => overlong({ maxLength: 10, buffer: 0 }), "a buffer of 0 is not in (0, 10]")
  })
})

describe("unfinished", () => {
  it("takes the penalty from what was cut off alone", () => {
    const response = (finished?: boolean) => ({ text: "a", ids: Int32Array.of(1), finished })
    const responses = [response(false), response(true), response()]
    const judging = ruleReward(unfinished({ penalty: 0.3 })).judge([
      { row: "r:1", prompt: { ids: Int32Array.of(1), text: "" }, responses }
    ])
    const [judged] = Effect.runSync(judging)
    assert.deepStrictEqual(
      judged!.responses.map(({ reward }) => reward),
      [-0.3, 0, 0]
    )
    assert.throws(() => unfinished({ penalty: 0 }), "a penalty of 0 is not above 0")
  })
})

describe("repetition", () => {
  it("is the share of n-grams that came before", () => {
    // "a b a b a b": aba bab aba bab, two different of four
    assert.deepStrictEqual(
      scores(repetition(), "a b a b a b", "a b c d", "A b  a B a b", "a b", ""),
      [-0.5, 0, -0.5, 0, 0]
    )
    // tokens of lengths 1 1 2 1 1: (1 1) (1 2) (2 1) (1 1)
    assert.deepStrictEqual(scores(repetition({ of: "tokens", size: 2 }), "a b cc d e"), [-0.25])
  })
})

describe("jsonFormat", () => {
  const schema = {
    type: "object",
    properties: {
      answer: { type: "integer", minimum: 0 },
      tags: { type: "array", items: { enum: ["a", "b"] }, maxItems: 2 },
      code: { type: "string", pattern: "^x+$" }
    },
    required: ["answer"],
    additionalProperties: false
  }

  it("takes JSON of the schema and nothing else", () => {
    const right = ['{"answer": 1}', ' {"answer": 0, "tags": ["a", "b"], "code": "xx"} ']
    const wrong = [
      '{"answer": -1}',
      '{"answer": 1.5}',
      '{"answer": "1"}',
      '{"answer": 1, "more": 2}',
      '{"answer": 1, "tags": ["c"]}',
      '{"answer": 1, "tags": ["a", "a", "a"]}',
      '{"answer": 1, "code": "y"}',
      '{"tags": []}',
      '[{"answer": 1}]',
      '{"answer": 1} ok',
      '```json\n{"answer": 1}\n```',
      "",
      "NaN"
    ]
    assert.deepStrictEqual(scores(jsonFormat({ schema }), ...right), [1, 1])
    assert.deepStrictEqual(
      scores(jsonFormat({ schema }), ...wrong),
      wrong.map(() => 0)
    )
  })

  it("takes any JSON without a schema, null too, and a fenced block where it may", () => {
    assert.deepStrictEqual(scores(jsonFormat(), "null", "[1]", "{'a': 1}"), [1, 1, 0])
    assert.deepStrictEqual(scores(jsonFormat({ fenced: true }), "```json\n[1]\n```", "[1]", "so ```[1]```"), [1, 1, 0])
  })

  it("refuses a schema that it could not hold a response to", () => {
    assert.throws(() => jsonFormat({ schema: { type: "array", contains: { type: "string" } } }))
  })
})
