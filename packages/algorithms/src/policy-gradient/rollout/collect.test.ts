import { it } from "@effect/vitest"
import { byteTokenizer, Tokenizer } from "@plumbline/data"
import { type JudgedGroup, Reward, RewardFailed, type RewardGroup, type RewardShape } from "@plumbline/reward-model"
import {
  type GeneratedGroup,
  type GenerationRequest,
  Generator,
  type GeneratorShape,
  samplingOptions
} from "@plumbline/rollout-generation"
import { RunStore } from "@plumbline/store"
import { RunContext } from "@plumbline/training"
import { Deferred, Effect, Layer } from "effect"
import { resolve } from "node:path"
import { describe, expect } from "vitest"
import type { PromptUnit } from "../../responses/prompt-data.ts"
import { CriticFailed } from "../critic/critic.ts"
import { type CollectOptions, collectRollout } from "./collect.ts"

const prompts = ["a", "b", "c"].map((text, i): PromptUnit => {
  const ids = Int32Array.of(97 + i)
  return {
    row: { ids, lossMask: new Uint8Array(1), record: { kind: "text", text, fields: { answer: text } } },
    tokens: 1,
    origin: `prompts.jsonl:${i + 1}`
  }
})

const options: CollectOptions = {
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

interface World {
  readonly version?: number
  /** Before a prompt's responses are there. */
  readonly before?: (prompt: number) => Effect.Effect<void>
  readonly judge?: RewardShape["judge"]
}

const lengths = (groups: ReadonlyArray<RewardGroup>): ReadonlyArray<JudgedGroup> =>
  groups.map(({ responses }) => ({
    responses: responses.map(({ ids }) => {
      const value = ids[1]!
      return { reward: value, parts: [{ name: "last", weight: 1, raw: value, value }] }
    })
  }))

/** Everything that collecting needs, and what was asked of the generator. */
const world = ({ before = () => Effect.void, judge, version = 0 }: World = {}) => {
  const asked: Array<number> = []
  const generate: GeneratorShape["generate"] = (requests) =>
    Effect.forEach(requests, (request) => {
      asked.push(request.promptIds[0]!)
      return Effect.as(before(request.promptIds[0]! - 97), answered(request, version))
    })
  const generator = {
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

const collected = (layer: ReturnType<typeof world>["layer"], given: Partial<CollectOptions> = {}) =>
  collectRollout(0, prompts, { ...options, ...given }).pipe(Effect.provide(layer))

describe("a rollout", () => {
  it.live("judges a group while others are still written, and keeps the prompts' order", () =>
    Effect.gen(function* () {
      const firstJudged = yield* Deferred.make<void>()
      const { layer } = world({
        // all but the second wait until it was judged
        before: (prompt) => (prompt === 1 ? Effect.void : Deferred.await(firstJudged)),
        judge: (groups) =>
          Effect.as(
            groups[0]!.prompt.text === "b" ? Deferred.succeed(firstJudged, undefined) : Effect.void,
            lengths(groups)
          )
      })
      const { groups } = yield* collected(layer, { generationTimeout: 5 })
      expect(groups.map(({ promptText }) => promptText)).toEqual(["a", "b", "c"])
      expect(groups.map(({ responses }) => responses.map(({ reward }) => reward))).toEqual([
        [48, 49],
        [48, 49],
        [48, 49]
      ])
    })
  )

  it.live("ends in a moment when the generator stalls, with its reason", () =>
    Effect.gen(function* () {
      const { layer } = world({ before: (prompt) => (prompt === 2 ? Effect.never : Effect.void) })
      const error = yield* Effect.flip(collected(layer))
      expect(error._tag).toBe("GenerationTimedOut")
    })
  )

  it.live("ends when a reward dies or does not answer, with the row", () =>
    Effect.gen(function* () {
      const died = new RewardFailed({ row: "prompts.jsonl:2", part: "last", reason: "connection refused" })
      const dead = yield* Effect.flip(
        collected(
          world({ before: (p) => (p === 0 ? Effect.never : Effect.void), judge: () => Effect.fail(died) }).layer,
          {
            generationTimeout: 60
          }
        )
      )
      expect(dead).toBe(died)
      const silent = yield* Effect.flip(collected(world({ judge: () => Effect.never }).layer))
      expect(silent.message).toContain('prompts.jsonl:1: reward "last" took longer than its deadline of 0.05 s')
    })
  )

  it.live("ends when the critic dies", () =>
    Effect.gen(function* () {
      const gone = new CriticFailed({ during: "values", reason: "connection refused" })
      const error = yield* Effect.flip(collected(world().layer, { critic: { values: () => Effect.fail(gone) } }))
      expect(error.message).toBe("the critic failed to give values: connection refused")
    })
  )

  const output = "somewhere"
  const run = Layer.mergeAll(
    RunStore.layerTest,
    RunContext.layer({ output, resume: false, invocation: { command: "grpo", options: {} } })
  )
  const registered = Effect.flatMap(RunStore, (store) =>
    store.register({ id: resolve(output), name: "x", algorithm: "grpo", folder: output, config: {}, startedAt: "now" })
  )

  it.live("does not write again what was recorded before the run was killed", () =>
    Effect.gen(function* () {
      yield* registered
      const whole = yield* collected(world().layer)
      const again = world()
      const { groups } = yield* collected(again.layer)
      expect(again.asked).toEqual([])
      expect(groups).toEqual(whole.groups)
      const store = yield* RunStore
      expect((yield* store.rollouts(resolve(output))).length).toBe(6)
    }).pipe(Effect.provide(run))
  )

  it.live("writes again what other weights, or another seed, had written", () =>
    Effect.gen(function* () {
      yield* registered
      yield* collected(world().layer)
      const newer = world({ version: 1 })
      yield* collected(newer.layer)
      expect(newer.asked.length).toBe(3)
      const other = world({ version: 1 })
      yield* collected(other.layer, { seed: 4 })
      expect(other.asked.length).toBe(3)
    }).pipe(Effect.provide(run))
  )

  it.live("keeps the groups that were whole when it failed", () =>
    Effect.gen(function* () {
      yield* registered
      const { layer } = world({ before: (prompt) => (prompt === 2 ? Effect.never : Effect.void) })
      yield* Effect.flip(collected(layer))
      const again = world()
      yield* collected(again.layer)
      expect(again.asked).toEqual([99])
    }).pipe(Effect.provide(run))
  )
})
