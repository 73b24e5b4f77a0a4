import { byteTokenizer, Tokenizer } from "@plumbline/data"
import { type JudgedGroup, Reward, type RewardGroup, type RewardShape } from "@plumbline/reward-model"
import {
  type GeneratedGroup,
  type GenerationRequest,
  Generator,
  type GeneratorShape,
  samplingOptions
} from "@plumbline/rollout-generation"
import { Effect, Layer } from "effect"
import { type CollectOptions, collectRollout } from "../policy-gradient/rollout/collect.ts"
import type { PromptUnit } from "../responses/prompt-data.ts"

export const prompts = ["a", "b", "c"].map((text, i): PromptUnit => {
  const ids = Int32Array.of(97 + i)
  return {
    row: { ids, lossMask: new Uint8Array(1), record: { kind: "text", text, fields: { answer: text } } },
    tokens: 1,
    origin: `prompts.jsonl:${i + 1}`
  }
})

export const options: CollectOptions = {
  samples: 2,
  sampling: samplingOptions({ maxNewTokens: 4 }),
  maxLength: 16,
  seed: 3,
  greedy: false,
  generationTimeout: 0.05,
  rewardTimeout: 0.05
}

/** Answers every sample with the prompt's token and the sample's number. */
const answered = ({ promptIds, samples = 1 }: GenerationRequest, version: number): GeneratedGroup => ({
  promptIds,
  prompt: undefined,
  responses: Array.from({ length: samples }, (_, sample) => ({
    sample,
    responseIds: Int32Array.of(promptIds[0]!, 48 + sample),
    samplingLogProbs: Float32Array.of(-1, -0.5),
    policyLogProbs: Float32Array.of(-1, -0.5),
    policyVersions: Int32Array.of(version, version),
    finishReason: "stop" as const,
    stop: undefined,
    topLogProbs: undefined
  }))
})

export interface World {
  readonly version?: number
  /** Before a prompt's responses are there. */
  readonly before?: (prompt: number) => Effect.Effect<void>
  readonly judge?: RewardShape["judge"]
  readonly colocated?: boolean
}

export const lengths = (groups: ReadonlyArray<RewardGroup>): ReadonlyArray<JudgedGroup> =>
  groups.map(({ responses }) => ({
    responses: responses.map(({ ids }) => {
      const value = ids[1]!
      return { reward: value, parts: [{ name: "last", weight: 1, raw: value, value }] }
    })
  }))

/** Everything that collecting needs, and what was asked of the generator. */
export const world = ({ before = () => Effect.void, colocated = false, judge, version = 0 }: World = {}) => {
  const asked: Array<number> = []
  const generate: GeneratorShape["generate"] = (requests) =>
    Effect.forEach(requests, (request) => {
      asked.push(request.promptIds[0]!)
      return Effect.as(before(request.promptIds[0]! - 97), answered(request, version))
    })
  const generator = {
    colocated,
    generate,
    policyVersion: Effect.succeed(version),
    limits: { contextTokens: 16, vocabulary: 257 }
  } as unknown as GeneratorShape
  const layer = Layer.mergeAll(
    Layer.succeed(Generator, generator),
    Reward.layer({
      parts: [{ name: "last", weight: 1 }],
      judge: judge ?? ((groups) => Effect.succeed(lengths(groups)))
    }),
    Tokenizer.layer(byteTokenizer({ specials: [] }))
  )
  return { asked, layer }
}

export const collected = (layer: ReturnType<typeof world>["layer"], given: Partial<CollectOptions> = {}) =>
  collectRollout(0, prompts, { ...options, ...given }).pipe(Effect.provide(layer))
