import { Tokenizer } from "@plumbline/data"
import { testTokenizer } from "@plumbline/data/testing"
import { type CausalLM, Policy } from "@plumbline/models"
import { Reward, type RewardShape } from "@plumbline/reward-model"
import { type GenerationRequest, Generator, type GeneratorShape } from "@plumbline/rollout-generation"
import type { Dataset } from "@plumbline/training"
import { Effect } from "effect"
import { expect, it } from "vitest"
import { heldOutRewards } from "./held-out-rewards.ts"
import { PromptData, type PromptUnit } from "./prompt-data.ts"

const unit = (id: number): PromptUnit => {
  const ids = Int32Array.of(id)
  return {
    row: { ids, lossMask: new Uint8Array(1), record: { kind: "ids", ids } },
    tokens: 1,
    origin: `held.jsonl:${id}`
  }
}

/** Answers prompt i with i tokens, of which one with a multiple of three was cut. */
const answering = (asked: Array<GenerationRequest>): GeneratorShape =>
  ({
    limits: { contextTokens: 20, vocabulary: 300 },
    policyVersion: Effect.succeed(0),
    generate: (requests: ReadonlyArray<GenerationRequest>) => {
      asked.push(...requests)
      const response = (promptIds: Int32Array) => ({
        responseIds: new Int32Array(promptIds[0]!).fill(97),
        policyVersions: new Int32Array(promptIds[0]!),
        finishReason: promptIds[0]! % 3 === 0 ? "length" : "stop"
      })
      const groups = requests.map(({ promptIds, samples }) => ({
        promptIds,
        responses: Array.from({ length: samples! }, () => response(promptIds))
      }))
      return Effect.succeed(groups as never)
    }
  }) as unknown as GeneratorShape

/** A response is worth its length, and half of that counts; four tokens are worth nothing that could be said. */
const reward: RewardShape = {
  parts: [{ name: "length", weight: 0.5 }],
  judge: (groups) =>
    Effect.succeed(
      groups.map(({ responses }) => ({
        responses: responses.map(({ ids }) => {
          const value = ids.length === 4 ? undefined : ids.length
          const part = { name: "length", weight: 0.5, raw: value, value }
          return { reward: value === undefined ? undefined : 0.5 * value, parts: [part] }
        })
      }))
    )
}

const evaluated = (heldOut: ReadonlyArray<PromptUnit>, asked: Array<GenerationRequest>, times = 1) => {
  const evaluation = heldOutRewards({ samples: 2, seed: 3, sampling: { temperature: 0.5, maxNewTokens: 9 } })
  return Effect.runSync(
    Effect.gen(function* () {
      const once = yield* evaluation
      if (once === undefined) return undefined
      const all = yield* Effect.forEach(Array.from({ length: times }), () => once)
      return all.at(-1)
    }).pipe(
      Effect.provideService(PromptData, { heldOut, maxLength: 8 } as unknown as Dataset<PromptUnit>),
      Effect.provideService(Generator, answering(asked)),
      Effect.provideService(Reward, reward),
      Effect.provideService(Tokenizer, testTokenizer),
      Effect.provideService(Policy, { endTokens: [7] } as unknown as CausalLM)
    )
  )
}

it("is the mean over all responses to the held-out prompts that have a reward", () => {
  // lengths 1, 3, 4 twice each; the 4s have no reward: ½·(1 + 3)/2, 8/3 tokens, one in three cut
  const metrics = evaluated([unit(1), unit(3), unit(4)], [])!
  expect(metrics["reward"]).toBeCloseTo(1, 6)
  expect(metrics["rewards/length/mean"]).toBeCloseTo(2, 6)
  expect(metrics["completions/mean_length"]).toBeCloseTo(8 / 3, 6)
  expect(metrics["completions/clipped_ratio"]).toBeCloseTo(1 / 3, 6)
  expect(evaluated([unit(4)], [])).not.toHaveProperty("reward")
})

it("draws the same numbers each time, within the length, as it is told to", () => {
  const asked: Array<GenerationRequest> = []
  evaluated([unit(1), unit(3)], asked, 2)
  expect(asked).toHaveLength(4)
  expect(asked.slice(2)).toEqual(asked.slice(0, 2))
  const resumed: Array<GenerationRequest> = []
  evaluated([unit(1), unit(3)], resumed)
  expect(resumed).toEqual(asked.slice(0, 2))
  expect(asked[0]!.seed).not.toBe(asked[1]!.seed)
  expect(asked[0]!).toMatchObject({ samples: 2, sampling: { temperature: 0.5, maxNewTokens: 7 } })
})

it("is not there where nothing is held out", () => {
  expect(evaluated([], [])).toBeUndefined()
})
