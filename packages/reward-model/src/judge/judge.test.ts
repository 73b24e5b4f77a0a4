import { assert, describe, it } from "@effect/vitest"
import { byteTokenizer, CHATML_SPECIALS, CHATML_TEMPLATE } from "@plumbline/data"
import { type GenerationRequest, GenerationTimedOut, type GeneratorShape } from "@plumbline/rollout-generation"
import { philoxStream } from "@plumbline/runtime"
import { Effect } from "effect"
import type { RewardGroup } from "../reward-request.ts"
import { type Order, pairwiseJudge } from "./pairwise-judge.ts"
import { pointwiseJudge } from "./pointwise-judge.ts"
import { bracketedRating, bracketedVerdict } from "./verdict.ts"

const tokenizer = byteTokenizer({ specials: CHATML_SPECIALS, chatTemplate: CHATML_TEMPLATE })

/** A judge whose text follows from its prompt and seed. */
const judgeSaying = (
  say: (prompt: string, request: GenerationRequest) => string,
  prompts: Array<string> = []
): GeneratorShape =>
  ({
    generate: (requests: ReadonlyArray<GenerationRequest>) =>
      Effect.succeed(
        requests.map((request) => {
          const prompt = tokenizer.decode(request.promptIds)
          prompts.push(prompt)
          return { responses: [{ responseIds: tokenizer.encode(say(prompt, request)), stop: undefined }] }
        })
      )
  }) as never

const group = (row: string, ...texts: ReadonlyArray<string>): RewardGroup => ({
  row,
  prompt: { ids: Int32Array.of(1), text: "Which is larger?" },
  responses: texts.map((text) => ({ ids: Int32Array.of(2), text })),
  answer: "nine"
})

const rewardsOf = (
  judged: ReadonlyArray<{ readonly responses: ReadonlyArray<{ readonly reward: number | undefined }> }>
) => judged.map(({ responses }) => responses.map(({ reward }) => reward))

describe("what judges say", () => {
  it("is one verdict, or none", () => {
    assert.deepStrictEqual(
      ["B wins [[B]]", "[[A]] so [[A]]", "[[C]]", "[[A>B]]", "[[B>>A]]"].map(bracketedVerdict),
      [0, 1, 0.5, 0.75, 0]
    )
    assert.deepStrictEqual(["", "A", "[[D]]", "[[A]] or [[B]]"].map(bracketedVerdict), [
      undefined,
      undefined,
      undefined,
      undefined
    ] as never)
  })

  it("is one rating of the scale, or none", () => {
    const read = bracketedRating({ min: 1, max: 10 })
    assert.deepStrictEqual(["[[7]]", "Rating: 8.5", "score = 3", "7/10: [[ 7 ]]"].map(read), [7, 8.5, 3, 7])
    assert.deepStrictEqual(["7", "[[11]]", "[[0]]", "[[3]] then [[4]]", "great"].map(read), [
      undefined,
      undefined,
      undefined,
      undefined,
      undefined
    ] as never)
  })
})

describe("pairwiseJudge", () => {
  /** Prefers the longer response, whatever stands first. */
  const longer = (prompt: string): string => {
    const [, a, b] = /\[Response A\]\n([\s\S]*?)\n\n\[Response B\]\n([\s\S]*?)<\|im_end\|>/.exec(prompt)!
    return a!.length === b!.length ? "[[C]]" : a!.length > b!.length ? "[[A]]" : "[[B]]"
  }

  it.effect("gives the share of comparisons won, over every pair and both orders", () =>
    Effect.gen(function* () {
      const prompts: Array<string> = []
      const reward = pairwiseJudge({ generator: judgeSaying(longer, prompts), tokenizer })
      const judged = yield* reward.judge([group("r:1", "a", "ccc", "bb", "b"), group("r:2", "x")])
      assert.deepStrictEqual(rewardsOf(judged), [[0.5 / 3, 1, 2 / 3, 0.5 / 3], [0.5]])
      assert.strictEqual(prompts.length, 12)
      assert.include(prompts[0], "[Right answer]\nnine")
      assert.include(prompts[0], "[Response A]\na\n")
      assert.include(prompts[1], "[Response B]\na<|im_end|>")
    })
  )

  it.effect("never guesses at a text that it cannot read: it fails with the row, or abstains where it is told to", () =>
    Effect.gen(function* () {
      const broken = judgeSaying((prompt) => (prompt.includes("zz") ? "both are fine" : longer(prompt)))
      const groups = [group("r:1", "a", "bb"), group("r:2", "a", "zz", "ccc")]
      const failure = yield* Effect.flip(pairwiseJudge({ generator: broken, tokenizer }).judge(groups))
      assert.strictEqual(
        failure.message,
        'r:2: reward "judge" failed: the judge\'s text cannot be read: "both are fine"'
      )
      const judged = yield* pairwiseJudge({ generator: broken, tokenizer, unreadable: "abstain" }).judge(groups)
      assert.deepStrictEqual(rewardsOf(judged), [
        [0, 1],
        [undefined, undefined, undefined]
      ])
    })
  )

  it.effect("says whose row it was when the generator fails", () =>
    Effect.gen(function* () {
      const late = {
        generate: () => Effect.fail(new GenerationTimedOut({ seconds: 2, finished: [] }))
      } as never as GeneratorShape
      const failure = yield* Effect.flip(pairwiseJudge({ generator: late, tokenizer }).judge([group("r:7", "a", "b")]))
      assert.deepInclude(failure, { _tag: "RewardTimedOut", row: "r:7", seconds: 2 })
      const speechless = { ...tokenizer, renderChat: byteTokenizer({ specials: [] }).renderChat }
      const no = yield* Effect.flip(
        pairwiseJudge({ generator: late, tokenizer: speechless }).judge([group("r:8", "a", "b")])
      )
      assert.match(no.message, /^r:8: reward "judge" failed: /)
    })
  )

  describe("of a judge that likes what stands first", () => {
    const { uniform } = philoxStream(3, "qualities")
    const qualities = Array.from({ length: 1500 }, (_, i) => [uniform(2 * i), uniform(2 * i + 1)] as const)
    const groups = qualities.map(([a, b], i) => group(`r:${i}`, `quality ${a.toFixed(6)}`, `quality ${b.toFixed(6)}`))
    const gapOf = (prompt: string): number => {
      const [a, b] = Array.from(prompt.matchAll(/quality (\d\.\d+)/g), ([, quality]) => Number(quality))
      return a! - b!
    }

    /** Share of pairs that two questions each put in the right order, of those they put in one. */
    const asked = (say: (prompt: string, request: GenerationRequest) => string, orders: ReadonlyArray<Order>) =>
      Effect.map(pairwiseJudge({ generator: judgeSaying(say), tokenizer, orders }).judge(groups), (judged) => {
        const gaps = rewardsOf(judged).map(([first, second]) => first! - second!)
        const decided = gaps.flatMap((gap, i) => (gap === 0 ? [] : [gap > 0 === qualities[i]![0] > qualities[i]![1]]))
        const right = decided.filter(Boolean).length
        return { ofDecided: right / decided.length, ofAll: (right + (gaps.length - decided.length) / 2) / gaps.length }
      })
    const BOTH = ["given", "swapped"] as const
    const TWICE = ["given", "given"] as const

    // the expectations below are those of the judge's rule over 4·10⁶ pairs, by numpy; three standard errors here are 0.04
    it.effect("that names a winner: what both orders agree on is right more often than what one order says twice", () =>
      Effect.gen(function* () {
        // P([[A]]) = σ(4·gap + 1.5)
        const naming = (prompt: string, { seed }: GenerationRequest) => {
          const chance = 1 / (1 + Math.exp(-(4 * gapOf(prompt) + 1.5)))
          return philoxStream(seed, "judge").uniform(0) < chance ? "[[A]]" : "[[B]]"
        }
        assert.closeTo((yield* asked(naming, BOTH)).ofDecided, 0.896, 0.04)
        assert.closeTo((yield* asked(naming, TWICE)).ofDecided, 0.764, 0.04)
      })
    )

    it.effect("that gives degrees: both orders are right more often of all pairs", () =>
      Effect.gen(function* () {
        // sees 4·gap + 1.5 + noise of deviation 1
        const grading = (prompt: string, { seed }: GenerationRequest) => {
          const seen = 4 * gapOf(prompt) + 1.5 + philoxStream(seed, "judge").normal(0)
          if (Math.abs(seen) <= 0.5) return "[[A=B]]"
          const degree = Math.abs(seen) > 2 ? ">>" : ">"
          return seen > 0 ? `[[A${degree}B]]` : `[[B${degree}A]]`
        }
        assert.closeTo((yield* asked(grading, BOTH)).ofAll, 0.853, 0.04)
        assert.closeTo((yield* asked(grading, TWICE)).ofAll, 0.711, 0.04)
      })
    )
  })
})

describe("pointwiseJudge", () => {
  it.effect("brings ratings to [0, 1], and keeps what was said", () =>
    Effect.gen(function* () {
      const counting = judgeSaying(
        (prompt) => `It is fine. [[${/\[Response\]\n(.*?)<\|im_end\|>/.exec(prompt)![1]!.length}]]`
      )
      const reward = pointwiseJudge({ generator: counting, tokenizer, scale: { min: 1, max: 5 } })
      const [judged] = yield* reward.judge([group("r:1", "abc", "abcde", "a")])
      assert.deepStrictEqual(rewardsOf([judged!]), [[0.5, 1, 0]])
      assert.strictEqual(judged!.responses[1]!.parts[0]!.raw, 5)
      const failure = yield* Effect.flip(reward.judge([group("r:2", "abcdef")]))
      assert.match(
        failure.message,
        /^r:2: reward "judge" failed: the judge's text cannot be read: "It is fine\. \[\[6\]\]"$/
      )
    })
  )
})
