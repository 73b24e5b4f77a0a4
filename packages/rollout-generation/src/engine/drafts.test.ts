import { expect, it } from "@effect/vitest"
import { type CausalLM, createModel } from "@plumbline/models"
import { tinyTable } from "@plumbline/models/testing"
import { ModelRuntime, tf } from "@plumbline/runtime"
import { Cause, Effect, Exit, Option } from "effect"
import { Generator } from "../generator.ts"
import type { GeneratedGroup, GenerationRequest } from "../request.ts"
import { bfloat16Backends, float32Backends } from "@plumbline/runtime/testing"
import { describe } from "vitest"
import { prompt, request } from "../testing/index.ts"
import { engineGenerators } from "./engine-generator.ts"
import type { EngineOptions } from "./engine.ts"

const makeModel = (): CausalLM => createModel({ ...tinyTable, maxPositions: 256 }, 3, { trainable: false })

/** A model that counts its steps and their rows. */
const counting = (model: CausalLM) => {
  const fed = { steps: 0, rows: 0 }
  const step: CausalLM["step"] = (rows, cache, index) => {
    fed.steps += 1
    fed.rows += rows.lengths.length
    return model.step(rows, cache, index)
  }
  return { fed, counted: { ...model, step } }
}

/** What an engine writes, and rows of each of its steps. */
const written = (model: CausalLM, requests: ReadonlyArray<GenerationRequest>, options: EngineOptions) =>
  Effect.gen(function* () {
    const steps: Array<number> = []
    const counted: CausalLM = {
      ...model,
      step: (rows, cache, index) => {
        steps.push(rows.lengths.length)
        return model.step(rows, cache, index)
      }
    }
    const before = tf.memory().numTensors
    const groups = yield* Effect.flatMap(Generator, ({ generate }) => generate(requests)).pipe(
      Effect.provide(Generator.layerModel(counted, options))
    )
    expect(tf.memory().numTensors).toBe(before)
    return { groups, steps }
  })

const responsesOf = (groups: ReadonlyArray<GeneratedGroup>) =>
  groups.flatMap(({ responses }) =>
    responses.map(({ finishReason, policyVersions, responseIds, stop }) => ({
      ids: [...responseIds],
      versions: [...policyVersions],
      finishReason,
      stop
    }))
  )

const logProbsOf = (groups: ReadonlyArray<GeneratedGroup>) =>
  groups.flatMap(({ responses }) =>
    responses.flatMap(({ policyLogProbs, samplingLogProbs, topLogProbs }) => [
      ...policyLogProbs,
      ...samplingLogProbs,
      ...(topLogProbs ?? []).flatMap((top) => top.map(({ logProb }) => logProb))
    ])
  )

const cyclic = (length: number, seed: number) => Int32Array.from({ length }, (_, t) => (5 * (t % 4) + seed) % 32)

/** Responses that repeat themselves, some of them now and then, and some that do not. */
const requests: ReadonlyArray<GenerationRequest> = [
  request(cyclic(20, 1), 1, { temperature: 0, maxNewTokens: 60 }, { topLogProbs: 3 }),
  request(prompt(9, 2), 2, { temperature: 0, maxNewTokens: 61, minNewTokens: 20, stopIds: [4, 9, 17] }),
  request(cyclic(17, 3), 3, { temperature: 0.3, maxNewTokens: 50, stopIds: [2] }, { samples: 2 }),
  request(cyclic(33, 4), 4, { temperature: 0.2, topK: 4, topP: 0.9, maxNewTokens: 40, logitBias: { "7": 1 } }),
  request(prompt(5, 5), 5, { temperature: 1, maxNewTokens: 30 }, { samples: 2 }),
  request(cyclic(12, 6), 6, { temperature: 0, repetitionPenalty: 1.2, maxNewTokens: 30 }),
  request(cyclic(12, 7), 7, { temperature: 0, allowedTokens: [3, 5, 8], maxNewTokens: 1 }),
  request(cyclic(12, 8), 8, { temperature: 0, allowedTokens: [3, 5, 8], maxNewTokens: 25 })
]

const layouts: ReadonlyArray<readonly [string, EngineOptions]> = [
  ["one row at a time", { maxRows: 1 }],
  ["two rows", { maxRows: 2 }],
  ["all rows", { maxRows: 64 }],
  ["pages of 3 tokens, little memory", { maxRows: 3, pageSize: 3, cacheTokens: 84 }]
]

const same = (layer: typeof ModelRuntime.layerWasm, gap: number) =>
  it.live.each(layouts)("leave responses as they are: %s", ([, options]) =>
    Effect.gen(function* () {
      const model = makeModel()
      const plain = yield* written(model, requests, { ...options, draftRows: 0 })
      const drafted = yield* written(model, requests, { ...options, draftRows: 16 })
      expect(responsesOf(drafted.groups)).toEqual(responsesOf(plain.groups))
      const [own, others] = [drafted, plain].map(({ groups }) => logProbsOf(groups)) as [Array<number>, Array<number>]
      expect(own).toHaveLength(others.length)
      own.forEach((logProb, i) => expect(Math.abs(logProb - others[i]!)).toBeLessThanOrEqual(gap))
      expect(drafted.steps.length).toBeLessThan(plain.steps.length)
      expect(Math.max(...drafted.steps)).toBeLessThanOrEqual(Math.max(16, ...plain.steps))
      model.dispose()
    }).pipe(Effect.provide(layer))
  )

// on CUDA what is rounded depends on the number of rows
const onHosts = [float32Backends, bfloat16Backends].map((backends) =>
  backends.filter(({ name }) => !name.includes("CUDA"))
)
onHosts.forEach((backends, i) => {
  const [precision, gap] = [["float32", 1e-5] as const, ["bfloat16", 2 ** -6] as const][i]!
  for (const { isThere, layer, name } of backends) {
    describe.skipIf(!isThere)(`drafts, on ${name} in ${precision}`, () => same(layer, gap))
  }
})

it.live("are counted, and those that were right", () =>
  Effect.gen(function* () {
    const model = makeModel()
    const { fed, counted } = counting(model)
    const [generator] = yield* engineGenerators([counted], { draftRows: 16 })
    // one token of one is allowed: every draft is right
    yield* generator!.generate([request(cyclic(20, 8), 8, { temperature: 0, allowedTokens: [3], maxNewTokens: 100 })])
    // who waits hears of the end within the last step, which is counted after it
    const load = Effect.andThen(Effect.yieldNow, generator!.load)
    const right = yield* load
    expect(right.draftedTokens).toBe(right.acceptedTokens)
    // each step draws a token of its own beside the drafted ones
    expect(right.sampledTokens - right.acceptedTokens).toBe(fed.steps)
    expect(right.draftedTokens).toBeGreaterThan(80)
    yield* generator!.generate([request(prompt(4, 1), 1, { temperature: 5, maxNewTokens: 200 })])
    const both = yield* load
    expect(both.sampledTokens - both.acceptedTokens).toBe(fed.steps)
    expect(both.draftedTokens).toBe(fed.rows - fed.steps)
    expect(both.acceptedTokens - right.acceptedTokens).toBeLessThan(both.draftedTokens - right.draftedTokens)
    model.dispose()
  }).pipe(Effect.scoped, Effect.provide(ModelRuntime.layerWasm))
)

it.live("take several tokens of a response that repeats itself a step, and next to none of one that does not", () =>
  Effect.gen(function* () {
    const model = makeModel()
    const stepsOf = (one: GenerationRequest, options: EngineOptions = {}) =>
      Effect.map(written(model, [one], { draftRows: 16, ...options }), ({ steps }) => steps)
    const rows = (steps: ReadonlyArray<number>) => steps.reduce((sum, count) => sum + count, 0)
    const repeating = request(cyclic(20, 8), 8, { temperature: 0, allowedTokens: [3], maxNewTokens: 100 })
    // the prompt, three tokens before anything is repeated, then 4, 8, 16, … at a time
    expect((yield* stepsOf(repeating)).length).toBeLessThanOrEqual(14)
    expect(yield* stepsOf(repeating, { goAhead: true, draftRows: 0 })).toEqual(Array.from({ length: 100 }, () => 1))
    const both = Effect.exit(stepsOf(repeating, { goAhead: true }))
    expect(Cause.pretty(Exit.getCause(yield* both).pipe(Option.getOrThrow))).toContain("exclude each other")
    const random = yield* stepsOf(request(prompt(4, 1), 1, { temperature: 5, maxNewTokens: 200 }))
    expect(random.length).toBeGreaterThan(180)
    expect(rows(random)).toBeLessThan(250)
    model.dispose()
  }).pipe(Effect.provide(ModelRuntime.layerWasm))
)
