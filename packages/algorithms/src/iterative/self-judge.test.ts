import { Tokenizer } from "@plumbline/data"
import { testTokenizer } from "@plumbline/data/testing"
import { Reward, type RewardGroup } from "@plumbline/reward-model"
import { type GenerationRequest, Generator, type GeneratorShape, samplingOptions } from "@plumbline/rollout-generation"
import { Effect } from "effect"
import { expect, it } from "vitest"
import { selfJudge } from "./self-judge.ts"

const prompt = { ids: Int32Array.of(1), text: "Q" }
const group: RewardGroup = {
  row: "p.jsonl:1",
  prompt,
  responses: [
    { ids: Int32Array.of(1), text: "good" },
    { ids: Int32Array.of(2), text: "odd" },
    { ids: Int32Array.of(3), text: "never read" }
  ]
}

/** Rates good 9 and 7, odd 3 and then nothing, and of the third nothing at all. */
const generator = () => {
  const seeds: Array<number> = []
  const asked: Record<string, number> = {}
  const generate = (requests: ReadonlyArray<GenerationRequest>) =>
    Effect.succeed(
      requests.map(({ promptIds, seed }) => {
        seeds.push(seed)
        const response = /\[Response\]\n([a-z ]+)/.exec(testTokenizer.decode(promptIds))![1]!
        const nth = (asked[response] = (asked[response] ?? 0) + 1)
        const said = { good: ["[[9]]", "[[7]]"], odd: ["[[3]]", "well"], "never read": ["?", "!"] }[response]![nth - 1]!
        const responseIds = testTokenizer.encode(said, { addSpecialTokens: false })
        return {
          promptIds,
          responses: [{ sample: 0, responseIds, finishReason: "stop", stop: undefined }],
          prompt: undefined
        }
      })
    )
  return { seeds, shape: { generate } as unknown as GeneratorShape }
}

it("is the mean of the ratings that could be read, and nothing where none could", async () => {
  const { seeds, shape } = generator()
  const judged = await Effect.runPromise(
    Effect.flatMap(Reward, ({ judge }) => judge([group])).pipe(
      Effect.provide(selfJudge({ evaluations: 2, seed: 5, sampling: samplingOptions() })),
      Effect.provideService(Generator, shape),
      Effect.provideService(Tokenizer, testTokenizer)
    )
  )
  // ratings from 1 to 10 become rewards from 0 to 1
  const rewards = judged[0]!.responses.map(({ reward }) => reward)
  expect(rewards[0]).toBeCloseTo((8 / 9 + 6 / 9) / 2, 6)
  expect(rewards[1]).toBeCloseTo(2 / 9, 6)
  expect(rewards[2]).toBeUndefined()
  expect(new Set(seeds).size).toBe(6)
})
