import { Tokenizer } from "@plumbline/data"
import { testTokenizer } from "@plumbline/data/testing"
import { type CausalLM, Policy } from "@plumbline/models"
import { type GenerationRequest, Generator, type GeneratorShape } from "@plumbline/rollout-generation"
import { Effect } from "effect"
import { expect, it } from "vitest"
import { writeResponses } from "./responses.ts"

const prompts = [Int32Array.of(1, 2, 3), Int32Array.of(4), Int32Array.of(1, 2, 3)]

/** What the generator was asked for at a step. */
const asked = (step: number, seed = 1): ReadonlyArray<GenerationRequest> => {
  const seen: Array<GenerationRequest> = []
  const generate = (requests: ReadonlyArray<GenerationRequest>) => {
    seen.push(...requests)
    return Effect.succeed(requests.map(({ promptIds }) => ({ promptIds, responses: [], prompt: undefined })))
  }
  const generator = { generate, limits: { contextTokens: 10, vocabulary: 300 } } as unknown as GeneratorShape
  Effect.runSync(
    writeResponses(prompts, step, {
      samples: 2,
      seed,
      sampling: { maxNewTokens: 8, stopIds: [9] },
      maxLength: 10
    }).pipe(
      Effect.provideService(Generator, generator),
      Effect.provideService(Tokenizer, testTokenizer),
      Effect.provideService(Policy, { endTokens: [7, 258] } as unknown as CausalLM)
    )
  )
  return seen
}

it("draws anew at every step and for every prompt, and the same again at the same step", () => {
  const seeds = [...asked(0), ...asked(1), ...asked(0, 2)].map(({ seed }) => seed)
  expect(new Set(seeds).size).toBe(9)
  expect(asked(1)).toEqual(asked(1))
})

it("ends responses at the options', the tokenizer's and the policy's stop tokens, and within the length", () => {
  const [long, short] = asked(0)
  expect(long!.sampling.stopIds).toEqual([9, 258, 7])
  expect([long!.sampling.maxNewTokens, short!.sampling.maxNewTokens]).toEqual([7, 8])
  expect(long!.samples).toBe(2)
})
