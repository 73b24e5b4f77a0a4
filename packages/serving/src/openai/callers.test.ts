import { type GenerationRequest, type GeneratorShape, RUN_HEADER } from "@plumbline/rollout-generation"
import { scriptedGenerator } from "@plumbline/rollout-generation/testing"
import { Stream } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { idsOf, serveGenerator, tokenizer } from "../testing/serve-scripted.ts"

const asked: Array<GenerationRequest> = []

const listening = () => {
  const generator = scriptedGenerator({ says: () => idsOf("yes"), vocabulary: tokenizer.vocabSize, contextTokens: 200 })
  const noting: GeneratorShape = {
    ...generator,
    generate: (requests) => (asked.push(...requests), generator.generate(requests)),
    stream: (request) => Stream.suspend(() => (asked.push(request), generator.stream(request)))
  }
  return serveGenerator(noting, tokenizer, "run-1")
}

let server: Awaited<ReturnType<typeof listening>>
beforeAll(async () => (server = await listening()))
afterAll(() => server.close())

/** How many callers the engine sees in what a body's prompts became. */
const callersOf = async (bodies: ReadonlyArray<object>, headers: Record<string, string> = {}) => {
  asked.length = 0
  for (const body of bodies) {
    const answer = await server.client.completions.create({ model: "tiny", max_tokens: 4, ...body } as never, {
      headers
    })
    if (Symbol.asyncIterator in answer) for await (const _ of answer as AsyncIterable<unknown>) continue
  }
  return [asked.length, new Set(asked.map(({ caller }) => caller)).size]
}

describe("an engine's caller", () => {
  it.each([false, true])("is a request with all its prompts (stream: %s)", async (stream) => {
    expect(await callersOf([{ prompt: ["a", "b", "c"], stream }])).toEqual([3, 1])
    expect(await callersOf([{ prompt: ["a", "b"], stream }, { prompt: "c" }])).toEqual([3, 2])
    expect(asked.every(({ caller }) => caller !== undefined)).toBe(true)
  })

  it("is a run that learns elsewhere with all its requests", async () => {
    expect(await callersOf([{ prompt: "a" }, { prompt: ["b", "c"] }], { [RUN_HEADER]: "run-1" })).toEqual([3, 1])
  })
})
