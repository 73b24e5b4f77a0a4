import { it } from "@effect/vitest"
import type { CausalLM } from "@plumbline/models"
import { Generator, promptRequests, samplingOptions } from "@plumbline/rollout-generation"
import { alone, ModelRuntime } from "@plumbline/runtime"
import { Effect } from "effect"
import { expect } from "vitest"
import { smallModel } from "../../testing/small-models.ts"
import { grpo } from "../grpo.ts"
import { rloo } from "../rloo.ts"
import type { Rollout } from "./rollout.ts"
import { checkSampler } from "./sampler-parity.ts"

const computing = { layout: "packed", padId: 0, split: { count: 4 }, processes: alone } as const

/** Responses of a model to one prompt. */
const written = Effect.fnUntraced(function* (seed: number, temperature: number) {
  const model = smallModel(seed)
  const sampling = samplingOptions({ maxNewTokens: 8, temperature })
  const [group] = yield* Effect.flatMap(Generator, (generator) =>
    generator.generate(promptRequests([Int32Array.of(1, 2)], { seed: 1, samples: 8, sampling }))
  ).pipe(Effect.provide(Generator.layerModel(model)))
  model.dispose()
  const rollout: Rollout = {
    index: 0,
    measured: {},
    aside: [],
    groups: [
      {
        place: 0,
        origin: "a",
        promptIds: group!.promptIds,
        promptText: "",
        seed: 1,
        responses: group!.responses.map((response) => ({ ...response, ended: false, text: "", reward: 0, parts: [] }))
      }
    ]
  }
  return rollout
})

it.effect("takes the policy's own responses, and refuses another model's or another temperature's", () =>
  Effect.gen(function* () {
    const policy = smallModel(5)
    const plain = samplingOptions({ maxNewTokens: 8 })
    yield* checkSampler(yield* written(5, 1), policy, plain, computing)
    yield* checkSampler(yield* written(5, 0.5), policy, { ...plain, temperature: 0.5 }, computing)
    const stale = yield* Effect.flip(checkSampler(yield* written(6, 1), policy, plain, computing))
    expect(stale.message).toContain("the generator has other weights, another temperature or another vocabulary")
    const hot = yield* Effect.flip(checkSampler(yield* written(5, 0.3), policy, plain, computing))
    expect(hot.gap).toBeGreaterThan(0.25)
    // what a filter leaves is likelier for the sampler by rights; what it says of the policy itself must agree all the same
    yield* checkSampler(yield* written(5, 0.3), policy, { ...plain, topK: 3 }, computing)
    yield* Effect.flip(checkSampler(yield* written(6, 1), policy, { ...plain, topK: 3 }, computing))
    policy.dispose()
  }).pipe(Effect.provide(ModelRuntime.layerWasm))
)

it("has the trainer of what it samples from compute as the sampler does", () => {
  const policy = { name: "policy" } as unknown as CausalLM
  const options = { samples: 2, sampling: samplingOptions({ maxNewTokens: 4 }), seed: 0 }
  expect(grpo(options).sampledFrom?.({ policy })).toBe(policy)
  expect(rloo(options).sampledFrom?.({ policy })).toBe(policy)
})
