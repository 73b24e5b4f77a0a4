import { Tokenizer } from "@plumbline/data"
import { testTokenizer } from "@plumbline/data/testing"
import { type CausalLM, Policy } from "@plumbline/models"
import {
  type GeneratedResponse,
  type GenerationRequest,
  Generator,
  type GeneratorShape,
  UNKNOWN_VERSION
} from "@plumbline/rollout-generation"
import { Effect } from "effect"
import { describe, expect, it } from "vitest"
import { writeResponses } from "./responses.ts"

const prompts = [Int32Array.of(1, 2, 3), Int32Array.of(4), Int32Array.of(1, 2, 3)]

/** What the generator was asked for at a step. */
const asked = (step: number, seed = 1): ReadonlyArray<GenerationRequest> => {
  const seen: Array<GenerationRequest> = []
  const generate = (requests: ReadonlyArray<GenerationRequest>) => {
    seen.push(...requests)
    return Effect.succeed(requests.map(({ promptIds }) => ({ promptIds, responses: [], prompt: undefined })))
  }
  written({ generate, policyVersion: Effect.succeed(0) }, step, seed)
  return seen
}

const written = (generator: Pick<GeneratorShape, "generate" | "policyVersion">, step: number, seed: number) =>
  Effect.runSync(
    writeResponses(prompts, step, {
      samples: 2,
      seed,
      sampling: { maxNewTokens: 8, stopIds: [9] },
      maxLength: 10
    }).pipe(
      Effect.provideService(Generator, {
        ...generator,
        limits: { contextTokens: 10, vocabulary: 300 }
      } as unknown as GeneratorShape),
      Effect.provideService(Tokenizer, testTokenizer),
      Effect.provideService(Policy, { endTokens: [7, 258] } as unknown as CausalLM)
    )
  )

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

describe("tokens of other weights than those that learn", () => {
  const withVersions = (current: number, ...versions: ReadonlyArray<number>) => {
    const response = { responseIds: Int32Array.of(5, 6), policyVersions: Int32Array.from(versions) }
    const generate = (requests: ReadonlyArray<GenerationRequest>) =>
      Effect.succeed(
        requests.map(({ promptIds }) => ({
          promptIds,
          responses: [response as unknown as GeneratedResponse],
          prompt: undefined
        }))
      )
    return () => written({ generate, policyVersion: Effect.succeed(current) }, 0, 1)
  }

  it("are refused, one of them in a response too", () => {
    const reason = "it wrote with weights of version 3, and those that learn are of version 4"
    expect(withVersions(4, 4, 3)).toThrow(reason)
  })

  it("are taken where nobody knows their version", () => {
    expect(withVersions(4, 4, UNKNOWN_VERSION)()).toHaveLength(3)
    expect(withVersions(UNKNOWN_VERSION, 4, 3)()).toHaveLength(3)
    expect(withVersions(4, 4, 4)()[0]![0]!.row.ids).toEqual(Int32Array.of(1, 2, 3, 5, 6))
  })
})
