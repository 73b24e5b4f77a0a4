import { createModel } from "@plumbline/models"
import { tinyTable } from "@plumbline/models/testing"
import { engineGenerators, type GeneratorShape, remoteGenerator } from "@plumbline/rollout-generation"
import { prompt, request } from "@plumbline/rollout-generation/testing"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect, Exit, Scope, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { serveGenerator } from "../testing/serve-scripted.ts"

const CONTEXT = tinyTable.maxPositions
const scope = Scope.makeUnsafe()
let served: Awaited<ReturnType<typeof serveGenerator>>
let near: GeneratorShape
let far: GeneratorShape
beforeAll(async () => {
  const engine = Effect.map(
    Effect.suspend(() => engineGenerators([createModel(tinyTable, 3)])),
    ([generator]) => generator!
  )
  near = await Effect.runPromise(Scope.provide(Effect.provide(engine, ModelRuntime.layerWasm), scope))
  served = await serveGenerator(near)
  const remote = remoteGenerator({ baseUrl: `${served.url}/v1`, maxRetries: 0 })
  far = await Effect.runPromise(remote.pipe(Effect.provide(FetchHttpClient.layer)))
})
afterAll(async () => {
  await served.close()
  await Effect.runPromise(Scope.close(scope, Exit.void))
})

/** What a generator makes of a request: whole, streamed, or its refusal. */
const outcome = async (generator: GeneratorShape, one: Parameters<GeneratorShape["stream"]>[0]) => {
  const told = <A, E extends { readonly message: string }>(effect: Effect.Effect<A, E>) =>
    Effect.runPromise(Effect.match(effect, { onFailure: (error) => error.message, onSuccess: (made): unknown => made }))
  const events = Effect.map(Stream.runCollect(generator.stream(one)), (all) =>
    all.filter(({ _tag }) => _tag !== "Token").toSorted((a, b) => sampleOf(a) - sampleOf(b))
  )
  return [await told(generator.generate([one])), await told(events)]
}

const sampleOf = (event: { readonly _tag: string; readonly response?: { readonly sample: number } }) =>
  event.response?.sample ?? -1

describe("a prompt near the end of the context", () => {
  const sampled = { maxNewTokens: 8, minNewTokens: 5, temperature: 1 }
  it.each([
    ["leaves room for some", CONTEXT - 3, {}],
    ["leaves room for one", CONTEXT - 1, {}],
    ["fills it", CONTEXT, {}],
    ["fills it, and is scored", CONTEXT, { promptLogProbs: true, topLogProbs: 2 }],
    ["is beyond it", CONTEXT + 1, {}],
    ["has no tokens", 0, {}]
  ])("is the same to the engine of a process and behind a server: it %s", async (_, length, fields) => {
    const one = request(prompt(length, 1), 5, sampled, { samples: 2, ...fields })
    expect(await outcome(far, one)).toEqual(await outcome(near, one))
  })
})
