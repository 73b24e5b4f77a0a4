import { describe, expect, it } from "@effect/vitest"
import { assign, type CausalLM, copyModel } from "@plumbline/models"
import { tinyModel } from "@plumbline/models/testing"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect, Stream } from "effect"
import { Generator } from "../generator.ts"
import type { GeneratedGroup, GenerationEvent } from "../request.ts"
import { prompt, request, trainerScores } from "../testing/index.ts"
import { engineGenerators } from "./engine-generator.ts"

/** Two models on one configuration, as adapters on one base are. */
const twoModels = (): readonly [CausalLM, CausalLM] => {
  const first = tinyModel(3)
  const second = copyModel(first, "second", true)
  const other = tinyModel(4)
  assign(second, other.parameters)
  other.dispose()
  return [first, second]
}

const requests = [0, 1, 2, 3].map((seed) =>
  request(prompt(9 + 5 * seed, seed), seed, { maxNewTokens: 8 + 4 * seed }, { samples: 1 + (seed % 3) })
)

const written = (groups: ReadonlyArray<GeneratedGroup>) =>
  groups.map(({ responses }) =>
    responses.map(({ policyLogProbs, responseIds }) => ({ ids: [...responseIds], logProbs: [...policyLogProbs] }))
  )

const alone = (model: CausalLM) =>
  Effect.flatMap(Generator, ({ generate }) => generate(requests)).pipe(
    Effect.provide(Generator.layerModel(model)),
    Effect.map(written)
  )

describe("several models of one engine", () => {
  it.live.each([
    ["with room for all", {}],
    ["where rows give way to others", { cacheTokens: 96, maxRows: 5, maxBatchTokens: 7 }],
    ["a step ahead of the host", { goAhead: true }]
  ] as const)("write at the same time what each would write alone, %s", ([, options]) =>
    Effect.gen(function* () {
      const models = twoModels()
      const expected = [yield* alone(models[0]), yield* alone(models[1])]
      const generators = yield* engineGenerators(models, options)
      const groups = yield* Effect.forEach(generators, ({ generate }) => generate(requests), { concurrency: 2 })
      const found = groups.map(written)
      for (const [m, own] of found.entries()) {
        expect(own.map((group) => group.map(({ ids }) => ids))).toEqual(
          expected[m]!.map((group) => group.map(({ ids }) => ids))
        )
        const worst = own.flatMap((group, g) =>
          group.flatMap(({ logProbs }, r) => logProbs.map((x, t) => Math.abs(x - expected[m]![g]![r]!.logProbs[t]!)))
        )
        expect(Math.max(...worst)).toBeLessThanOrEqual(1e-5)
      }
      expect(found[0]).not.toEqual(found[1])
      models.forEach(({ dispose }) => dispose())
    }).pipe(Effect.scoped, Effect.provide(ModelRuntime.layerWasm))
  )

  it.live("have rows in the same steps, and keys of their own versions", () =>
    Effect.gen(function* () {
      const models = twoModels()
      const after = tinyModel(5)
      const [first, second] = yield* engineGenerators(models)
      const events: Array<readonly [model: number, GenerationEvent]> = []
      const watch = (model: number, stream: Stream.Stream<GenerationEvent, unknown>) =>
        Stream.runForEach(stream, (event) =>
          Effect.sync(() => {
            events.push([model, event])
            // the second model moves on, and the first does not
            if (events.length === 20) assign(models[1], after.parameters)
          })
        )
      const ids = prompt(11, 6)
      const what = request(ids, 1, { maxNewTokens: 20 })
      yield* Effect.all([watch(0, first!.stream(what)), watch(1, second!.stream(what))], { concurrency: 2 })
      const tokens = events.flatMap(([model, event]) => (event._tag === "Token" ? [{ model, ...event }] : []))
      expect(tokens.map(({ model }) => model)).toEqual(Array.from({ length: 40 }, (_, i) => i % 2))
      const [own, others] = [0, 1].map((model) => tokens.filter((token) => token.model === model))
      expect(new Set(own!.map(({ policyVersion }) => policyVersion)).size).toBe(1)
      expect(new Set(others!.map(({ policyVersion }) => policyVersion)).size).toBe(2)
      expect(yield* first!.policyVersion).toBe(own![0]!.policyVersion)
      expect(yield* second!.policyVersion).toBe(others!.at(-1)!.policyVersion)
      // what the trainer says of the newest tokens by the weights that are there now
      const scores = trainerScores(models[1], [...ids, ...others!.map(({ id }) => id)]).subarray(ids.length - 1)
      expect(others!.at(-1)!.policyLogProb).toBeCloseTo(scores[19]!, 4)
      ;[...models, after].forEach(({ dispose }) => dispose())
    }).pipe(Effect.scoped, Effect.provide(ModelRuntime.layerWasm))
  )

  it("share their base, and others are refused", () => {
    expect(() => Effect.runSync(Effect.scoped(engineGenerators([tinyModel(1), tinyModel(1)])))).toThrow(
      "share their base"
    )
  })
})
