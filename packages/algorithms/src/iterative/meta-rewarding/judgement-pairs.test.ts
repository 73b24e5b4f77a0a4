import { tokenizePrompt, Tokenizer } from "@plumbline/data"
import { testTokenizer } from "@plumbline/data/testing"
import { type CausalLM, Policy } from "@plumbline/models"
import { askForRating, bracketedRating, bracketedVerdict } from "@plumbline/reward-model"
import { Generator } from "@plumbline/rollout-generation"
import { scriptedGenerator } from "@plumbline/rollout-generation/testing"
import { Effect } from "effect"
import { describe, expect, it } from "vitest"
import type { PromptUnit } from "../../responses/prompt-data.ts"
import { type ActedPrompt, actAndJudge } from "./act-and-judge.ts"
import { contests } from "./contest.ts"
import { chosenPair, judgementPairs } from "./judgement-pairs.ts"
import { askForBetterJudgement, battleMatrices } from "./meta-judge.ts"

const encode = (text: string): Int32Array => testTokenizer.encode(text, { addSpecialTokens: false })

const units = ["Q1", "Q2"].map((text, i): PromptUnit => {
  const ids = encode(text)
  return {
    row: { ids, lossMask: new Uint8Array(ids.length), record: { kind: "text", text } },
    tokens: ids.length,
    origin: `p.jsonl:${i + 1}`
  }
})

/** By response: its judgements, of which "sure" is rated alike by all. */
const RATINGS: Readonly<Record<string, ReadonlyArray<string>>> = {
  "a good answer": ["so it is [[9]]", "right [[7]]", "right [[7]]"],
  bad: ["no [[1]]", "well", "no [[1]]"],
  sure: ["[[5]]", "[[5]]", "[[5]]"],
  mute: ["?", "?", "?"]
}

const ANSWERS: Readonly<Record<string, ReadonlyArray<string>>> = { Q1: ["a good answer", "bad"], Q2: ["sure", "mute"] }

interface Scripts {
  /** The verdict on two judgements. */
  readonly verdict?: (first: string, second: string) => string
  readonly contextTokens?: number
}

/** Says what is scripted for a prompt, a question to the judge, or one to the meta-judge. */
const scripted = ({ contextTokens = 4000, verdict = () => "[[A]]" }: Scripts) =>
  scriptedGenerator({
    vocabulary: 300,
    contextTokens,
    says: ({ promptIds }, sample) => {
      const text = testTokenizer.decode(promptIds)
      const part = (name: string) => new RegExp(`\\[${name}\\]\n(.*?)(?:\n|<|$)`).exec(text)?.[1]
      const response = part("Response")
      if (response === undefined) return [...encode(ANSWERS[text]![sample]!)]
      const [first, second] = [part("Judgement A"), part("Judgement B")]
      return [...encode(first === undefined ? RATINGS[response]![sample]! : verdict(first, second!))]
    }
  })

const scale = { min: 1, max: 10 }
const options = {
  seed: 3,
  samples: 2,
  evaluations: 3,
  sampling: {},
  judgeSampling: { maxNewTokens: 64 },
  metaShare: 1,
  judge: { scale, ask: askForRating, read: bracketedRating(scale) },
  metaJudge: { ask: askForBetterJudgement, read: bracketedVerdict }
}

const run = (scripts: Scripts, share = 1) => {
  const generator = scripted(scripts)
  const made = Effect.gen(function* () {
    const acted = yield* actAndJudge({ maxLength: 100 }, units, 4, options)
    const meta = yield* judgementPairs(acted, 4, { ...options, metaShare: share })
    return { acted, meta, requests: generator.requests }
  })
  return Effect.runPromise(
    made.pipe(
      Effect.provideService(Generator, generator),
      Effect.provideService(Tokenizer, testTokenizer),
      Effect.provideService(Policy, { endTokens: [] } as never as CausalLM)
    )
  )
}

const responseText = ({ ids, lossMask }: { readonly ids: Int32Array; readonly lossMask: Uint8Array }): string =>
  testTokenizer.decode(ids.filter((_, t) => lossMask[t] === 1))

describe("acting and judging", () => {
  it("rewards responses with the mean of the ratings that can be read, from 0 to 1", async () => {
    const { acted, requests } = await run({})
    const rewards = acted.map(({ judged }) => judged.samples.map(({ reward }) => reward))
    // (9 + 7 + 7)/3 and (1 + 1)/2 on the scale from 1 to 10; 5 is 4/9; nothing could be read
    expect(rewards[0]![0]).toBeCloseTo((23 / 3 - 1) / 9, 6)
    expect(rewards[0]![1]).toBe(0)
    expect(rewards[1]![0]).toBeCloseTo(4 / 9, 6)
    expect(rewards[1]![1]).toBeUndefined()
    const [pair] = chosenPair(acted[0]!.judged, 0)
    expect([responseText(pair!.row.chosen), responseText(pair!.row.rejected)]).toEqual(["a good answer", "bad"])
    expect(chosenPair(acted[1]!.judged, 0)).toEqual([])
    // answers, judgements and verdicts draw from seeds of their own
    expect(new Set(requests.map(({ seed }) => seed)).size).toBe(requests.length)
  })
})

describe("judgement pairs", () => {
  const prefersShort = (first: string, second: string) => (first.length < second.length ? "[[A]]" : "[[B]]")

  it("are the highest against the lowest score, of the response whose ratings vary", async () => {
    const { meta } = await run({ verdict: prefersShort })
    // "right [[7]]" was said twice and fights once; "sure" leaves nothing to compare
    expect(meta.pairs.map(({ origin }) => origin)).toEqual(["p.jsonl:1, judged"])
    const [{ row }] = meta.pairs as [(typeof meta.pairs)[number]]
    expect([responseText(row.chosen), responseText(row.rejected)]).toEqual(["right [[7]]", "so it is [[9]]"])
    expect(testTokenizer.decode(row.chosen.ids)).toContain("[Response]\na good answer")
    expect(row.chosenReward!).toBeGreaterThan(row.rejectedReward!)
    expect(meta.report).toEqual({
      "judge_pairs/used": Float32Array.of(1),
      "verdicts/read": Float32Array.of(1, 1),
      "verdicts/first": Float32Array.of(0, 1)
    })
  })

  it("are none where the meta-judge always names one place, says nothing, or is not asked", async () => {
    for (const verdict of ["[[A]]", "[[B]]", "[[C]]", "hm"]) {
      const { meta } = await run({ verdict: () => verdict })
      expect(meta.pairs, verdict).toEqual([])
      expect(meta.report["verdicts/read"]).toEqual(verdict === "hm" ? Float32Array.of(0, 0) : Float32Array.of(1, 1))
    }
    const { meta } = await run({ verdict: prefersShort }, 0)
    expect([meta.pairs, meta.report["verdicts/read"]]).toEqual([[], new Float32Array(0)])
  })

  it("leave out questions that the context does not hold", async () => {
    const { acted: whole } = await run({})
    const [{ group }] = whole as [ActedPrompt]
    const question = tokenizePrompt(testTokenizer, askForRating(group, group.responses[0]!, scale))
    const { acted, meta } = await run({ verdict: prefersShort, contextTokens: question.length })
    expect(acted.map(({ judged }) => judged.samples.map(({ reward }) => reward !== undefined))).toEqual([
      [false, true],
      [true, false]
    ])
    expect(meta.pairs).toEqual([])
  })
})

describe("a battle matrix", () => {
  const judgement = (rating: number) => ({ rating, text: `${rating}` })
  const acted = (ratings: ReadonlyArray<ReadonlyArray<number>>) =>
    ({
      group: { responses: ratings.map((_, i) => ({ text: `r${i}` })) },
      judgements: ratings.map((of) => of.map(judgement)),
      judged: { unit: units[0], samples: [] }
    }) as never as ActedPrompt
  const two = contests([acted([[1, 2, 5]])], 1)

  it("weighs each win by how rarely its place wins", () => {
    const battle = (first: number, second: number, verdict: number | undefined) => ({
      contest: 0,
      first,
      second,
      verdict
    })
    // of four read battles the first wins 2½: ω_first = 1½/4, ω_second = 2½/4
    const [matrix] = battleMatrices(two, [
      battle(0, 1, 1),
      battle(1, 0, 0),
      battle(0, 2, 0.5),
      battle(2, 0, 1),
      battle(1, 2, undefined)
    ])
    const [first, second] = [1.5 / 4, 2.5 / 4]
    expect(matrix).toEqual([
      [0, first + second, first / 2],
      [0, 0, 0],
      [second / 2 + first, 0, 0]
    ])
  })

  it("is of the response and of the prompts that the judge is least sure of", () => {
    const prompts = [acted([[5, 5], [1, 3]]), acted([[1, 9], [2, 3]]), acted([[4, 4]])] // prettier-ignore
    const chosen = (share: number) =>
      contests(prompts, share).map(({ judgements, response }) => [
        (response as { readonly text: string }).text,
        judgements.map(({ rating }) => rating)
      ])
    expect(chosen(1)).toEqual([
      ["r0", [1, 9]],
      ["r1", [1, 3]]
    ])
    expect(chosen(0.3)).toEqual([["r0", [1, 9]]])
  })
})
