import { describe, expect, it } from "@effect/vitest"
import { type CausalLM } from "@plumbline/models"
import { tinyModel } from "@plumbline/models/testing"
import { ModelRuntime, tf } from "@plumbline/runtime"
import { Cause, Context, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import type { GenerationError } from "../errors.ts"
import { Generator } from "../generator.ts"
import type { GenerationRequest } from "../request.ts"
import { prompt, request } from "../testing/index.ts"
import type { EngineOptions } from "./engine.ts"

const withModel = <A>(body: (model: CausalLM) => Effect.Effect<A, unknown>) =>
  Effect.gen(function* () {
    const before = tf.memory().numTensors
    const model = tinyModel(3)
    yield* body(model)
    model.dispose()
    expect(tf.memory().numTensors).toBe(before)
  }).pipe(Effect.provide(ModelRuntime.layerWasm))

/** A model that breaks at step `last`. */
const mortal = (model: CausalLM, last: number): CausalLM => {
  let steps = 0
  return {
    ...model,
    step: (...args) => {
      if (++steps >= last) throw new Error("the device is lost")
      return model.step(...args)
    }
  }
}

/** The failure, which must be there within the time that the contract gives it. */
const failureOf = <R>(work: Effect.Effect<unknown, GenerationError, R>) =>
  Effect.flip(work).pipe(Effect.timeout("5 seconds"))

const endless = { maxNewTokens: 40 }

describe("an engine that dies", () => {
  it.live("gives every caller a typed failure and the responses that were finished", () =>
    withModel((model) =>
      Effect.gen(function* () {
        const { generate, policyVersion, stream } = yield* Generator
        const callers = yield* Effect.all(
          [
            failureOf(generate([request(prompt(4, 1), 1, { maxNewTokens: 3 }), request(prompt(5, 2), 2, endless)])),
            failureOf(Stream.runDrain(stream(request(prompt(3, 3), 3, endless)))),
            // still in the queue when it happens
            failureOf(generate([request(prompt(3, 4), 4, endless)]))
          ],
          { concurrency: "unbounded" }
        )
        for (const error of callers) {
          expect(error).toMatchObject({ _tag: "GeneratorFailed", reason: "the device is lost" })
        }
        const [first] = callers
        const { finished } = first as Extract<GenerationError, { readonly _tag: "GeneratorFailed" }>
        expect(finished.map((one) => [one.request, one.response.responseIds.length])).toEqual([[0, 3]])
        // whoever comes later is told at once
        expect(yield* failureOf(generate([request(prompt(4, 1), 1)]))).toMatchObject({ _tag: "GeneratorFailed" })
        expect(yield* Effect.flip(policyVersion)).toMatchObject({ _tag: "GeneratorFailed" })
      }).pipe(Effect.provide(Generator.layerModel(mortal(model, 8), { maxRows: 4, queueRequests: 3 })))
    )
  )

  it.live("because its scope is closed does the same", () =>
    withModel((model) =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(Generator.layerModel(model, { maxRows: 2 }), scope)
        const { generate, load } = Context.get(context, Generator)
        const caller = yield* Effect.forkChild(
          failureOf(generate([request(prompt(4, 1), 1, { maxNewTokens: 1 }), request(prompt(5, 2), 2, endless)]))
        )
        while ((yield* load).finishedResponses < 1) yield* Effect.yieldNow
        yield* Scope.close(scope, Exit.void)
        expect(yield* Fiber.join(caller)).toMatchObject({
          _tag: "GeneratorFailed",
          reason: "it was shut down",
          finished: [{ request: 0 }]
        })
      })
    )
  )
})

describe("a cache that does not fit", () => {
  it.live("is said to be out of memory", () =>
    withModel((model) =>
      Effect.gen(function* () {
        const cause = yield* Effect.flip(
          Effect.sandbox(Layer.build(Generator.layerModel(model, { cacheTokens: 1e12 })))
        )
        expect(String(Cause.squash(cause))).toContain("bytes of WebAssembly memory")
      }).pipe(Effect.scoped)
    )
  )
})

describe("an engine", () => {
  it.live.each([
    { maxRows: 0 },
    { maxRows: 1.5 },
    { maxBatchTokens: NaN },
    { pageSize: 2.5 },
    { cacheTokens: NaN },
    { queueRequests: 0 },
    { queueRequests: NaN },
    { queueRequests: Infinity },
    { draftRows: -1 }
  ])("does not begin with what counts nothing: %o", (options) =>
    withModel((model) =>
      Effect.gen(function* () {
        const [name] = Object.keys(options)
        const cause = yield* Effect.flip(Effect.sandbox(Layer.build(Generator.layerModel(model, options))))
        expect(String(Cause.squash(cause))).toMatch(`RangeError: an engine's ${name} is`)
      }).pipe(Effect.scoped)
    )
  )
})

describe("a request that goes wrong", () => {
  it.live("by its deadline carries what was finished, and frees the rest", () =>
    withModel((model) =>
      Effect.gen(function* () {
        const { generate, load } = yield* Generator
        const slow = request(prompt(5, 2), 2, endless, { deadlineSeconds: 0.4 })
        const error = yield* failureOf(generate([request(prompt(4, 1), 1, { maxNewTokens: 2 }), slow]))
        expect(error).toMatchObject({ _tag: "GenerationTimedOut", seconds: 0.4, finished: [{ request: 0 }] })
        expect(yield* load).toMatchObject({ running: 0, waiting: 0, cacheUse: 0 })
      }).pipe(Effect.provide(Generator.layerModel(slowed(model, 50), { maxRows: 4 })))
    )
  )

  it.live("because its logits are not finite does not take its neighbours along", () =>
    withModel((model) =>
      Effect.gen(function* () {
        const { generate } = yield* Generator
        const [broken, whole] = yield* Effect.all(
          [
            failureOf(generate([request(Int32Array.of(31, 5), 1)])),
            generate([request(prompt(4, 2), 2, { allowedTokens: [1, 2, 3] })])
          ],
          { concurrency: 2 }
        )
        expect(broken).toMatchObject({ _tag: "GeneratorFailed" })
        expect((broken as { reason: string }).reason).toContain("weights version 0 are not finite")
        expect(whole[0]!.responses[0]!.responseIds).toHaveLength(12)
      }).pipe(Effect.provide(Generator.layerModel(poisoned(model, 31))))
    )
  )
})

describe("a tokenizer that throws", () => {
  it.live("fails the request that it was asked for, and no other", () =>
    withModel((model) =>
      Effect.gen(function* () {
        const { generate, load } = yield* Generator
        const [broken, whole] = yield* Effect.all(
          [
            failureOf(generate([request(prompt(4, 1), 1, { stopStrings: ["a"], allowedTokens: [7] }, { samples: 2 })])),
            generate([request(prompt(4, 2), 2)])
          ],
          { concurrency: 2 }
        )
        expect(broken).toMatchObject({
          _tag: "GeneratorFailed",
          reason: "the tokenizer cannot read token 7: no such id",
          finished: []
        })
        expect(whole[0]!.responses[0]!.responseIds).toHaveLength(12)
        expect(yield* load).toMatchObject({ running: 0, waiting: 0, cacheUse: 0 })
      }).pipe(Effect.provide(Generator.layerModel(model, { tokenizer: { decode: unknownId } })))
    )
  )
})

const unknownId = (): never => {
  throw new Error("no such id")
}

/** The same model, that takes at least so many milliseconds a step. */
const slowed = (model: CausalLM, milliseconds: number): CausalLM => ({
  ...model,
  step: (...args) => {
    const end = performance.now() + milliseconds
    while (performance.now() < end) continue
    return model.step(...args)
  }
})

/** A model that answers rows which begin with token `id` with not-a-number. */
const poisoned = (model: CausalLM, id: number): CausalLM => ({
  ...model,
  step: (rows, cache, index) =>
    tf.tidy(() => {
      const logits = model.step(rows, cache, index)
      const bad = Array.from(index, (flat) => {
        const row = rows.starts.findLastIndex((start) => start <= flat)
        return rows.tokens[rows.starts[row]!] === id ? NaN : 0
      })
      return tf.add(logits, tf.tensor2d(bad, [bad.length, 1]))
    })
})

describe("a prompt whose array is filled anew", () => {
  it.live("while its responses wait and are written is answered as it was", () =>
    withModel((model) =>
      Effect.gen(function* () {
        const { generate, load, stream } = yield* Generator
        const what = request(prompt(9, 1), 1, endless, { samples: 3 })
        const [expected] = yield* generate([what])
        const ids = what.promptIds.slice()
        const again = { ...what, promptIds: ids }
        const both = yield* Effect.forkChild(
          Effect.all([generate([again]), Stream.runCollect(stream(again))], { concurrency: 2 })
        )
        while ((yield* load).finishedResponses < 4) yield* Effect.yieldNow
        ids.fill(3)
        const [[group], events] = yield* Fiber.join(both)
        expect(group).toEqual(expected)
        const streamed = events.flatMap((event) => (event._tag === "Finished" ? [event.response] : []))
        expect(streamed).toEqual(expected!.responses)
      }).pipe(Effect.provide(Generator.layerModel(model, { maxRows: 1 })))
    )
  )
})

describe("a full queue", () => {
  it.live("makes callers wait, and serves them all", () =>
    withModel((model) =>
      Effect.gen(function* () {
        const { generate, load } = yield* Generator
        const all = yield* Effect.forkChild(
          generate(Array.from({ length: 9 }, (_, i) => request(prompt(3, i), i, { maxNewTokens: 3 })))
        )
        yield* Effect.yieldNow
        expect((yield* load).running + (yield* load).waiting).toBe(9)
        expect(yield* Fiber.join(all)).toHaveLength(9)
        expect(yield* load).toMatchObject({ running: 0, waiting: 0, finishedResponses: 9 })
      }).pipe(Effect.provide(Generator.layerModel(model, { queueRequests: 2, maxRows: 1 })))
    )
  )
})

/** A request whose options no schema has seen. */
const odd = (sampling: object): GenerationRequest => {
  const what = request(prompt(4, 1), 1)
  return { ...what, sampling: { ...what.sampling, ...sampling } }
}

const refused: ReadonlyArray<readonly [field: string, GenerationRequest, EngineOptions?]> = [
  ["promptIds", request(Int32Array.of(), 1)],
  ["promptIds", request(prompt(65, 1), 1)],
  ["promptIds", request(Int32Array.of(1, 32), 1)],
  ["promptIds", request(Int32Array.of(-1), 1)],
  ["promptIds", request([1, 2.5] as unknown as Int32Array, 1)],
  ["samples", request(prompt(4, 1), 1, {}, { samples: 0 })],
  ["samples", request(prompt(4, 1), 1, {}, { samples: 1.5 })],
  ["samples", request(prompt(4, 1), 1, {}, { samples: 1e9 })],
  ["seed", request(prompt(4, 1), -1)],
  ["topLogProbs", request(prompt(4, 1), 1, {}, { topLogProbs: 101 })],
  ["deadlineSeconds", request(prompt(4, 1), 1, {}, { deadlineSeconds: 0 })],
  ["minNewTokens", request(prompt(4, 1), 1, { minNewTokens: 13 })],
  // 4 + 12 tokens take four pages of 4
  ["maxNewTokens", request(prompt(4, 1), 1), { cacheTokens: 12, pageSize: 4 }],
  ["stopIds", request(prompt(4, 1), 1, { stopIds: [32] })],
  ["stopStrings", request(prompt(4, 1), 1, { stopStrings: ["a"] })],
  ["logitBias", request(prompt(4, 1), 1, { logitBias: { 99: 1 } })],
  ["allowedTokens", request(prompt(4, 1), 1, { allowedTokens: [40] })],
  ["allowedTokens", request(prompt(4, 1), 1, { allowedTokens: [2], stopIds: [2], minNewTokens: 1 })],
  ["stopIds", request(prompt(4, 1), 1, { stopIds: Array.from({ length: 32 }, (_, id) => id), minNewTokens: 1 })],
  // without an end
  ["maxNewTokens", odd({ maxNewTokens: NaN })],
  ["maxNewTokens", odd({ maxNewTokens: 2.5 })],
  ["minNewTokens", odd({ minNewTokens: NaN })],
  ["temperature", odd({ temperature: NaN })],
  ["topK", odd({ topK: 1.5 })],
  ["topP", odd({ topP: 0 })],
  ["minP", odd({ minP: 2 })],
  ["repetitionPenalty", odd({ repetitionPenalty: 0 })],
  ["logitBias", odd({ logitBias: { 1: NaN } })],
  ["logitBias", odd({ logitBias: { "1.5": 1 } })],
  ["logitBias", odd({ logitBias: null })],
  ["stopIds", odd({ stopIds: undefined })],
  ["stopIds", odd({ stopIds: [1.5] })],
  ["stopStrings", odd({ stopStrings: [""] })],
  ["allowedTokens", odd({ allowedTokens: [] })],
  ["allowedTokens", odd({ allowedTokens: [1.5] })],
  ["topk", odd({ topk: 1 })],
  ["sampling", { ...request(prompt(4, 1), 1), sampling: undefined as never }]
]

describe("a request that can never be done", () => {
  it.live.each(refused)("is refused before any work: %s of %o", ([field, what, options = {}]) =>
    withModel((model) =>
      Effect.gen(function* () {
        const { generate, load, stream } = yield* Generator
        const fine = request(prompt(2, 1), 1, { maxNewTokens: 1 })
        expect(yield* failureOf(generate([fine, what]))).toMatchObject({ _tag: "GenerationRefused", field })
        expect(yield* failureOf(Stream.runDrain(stream(what)))).toMatchObject({ _tag: "GenerationRefused", field })
        expect(yield* load).toMatchObject({ sampledTokens: 0, promptTokens: 0 })
      }).pipe(Effect.provide(Generator.layerModel(model, options)))
    )
  )
})
