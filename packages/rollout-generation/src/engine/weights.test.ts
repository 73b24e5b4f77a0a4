import { describe, expect, it } from "@effect/vitest"
import { assign, type CausalLM, freeze } from "@plumbline/models"
import { tinyModel } from "@plumbline/models/testing"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect, Stream } from "effect"
import { Generator } from "../generator.ts"
import type { GeneratedResponse, TokenEvent } from "../request.ts"
import { prompt, request, trainerScores } from "../testing/index.ts"

const ids = prompt(17, 3)
const what = request(ids, 5, { maxNewTokens: 40 }, { samples: 3 })

const scores = (model: CausalLM, response: ReadonlyArray<number>): ReadonlyArray<number> => [
  ...trainerScores(model, [...ids, ...response]).subarray(ids.length - 1)
]

/** Sum of the log-probs of a fixed text, nats: two sets of weights that agree on it are the same for all we care. */
const trainerProbe = (model: CausalLM) => trainerScores(model, [...ids]).reduce((sum, x) => sum + x, 0)

const engineProbe = Effect.gen(function* () {
  const { generate } = yield* Generator
  const [group] = yield* generate([request(ids, 0, { maxNewTokens: 0 }, { promptLogProbs: true })])
  return group!.prompt!.logProbs.subarray(1).reduce((sum, x) => sum + x, 0)
})

const worst = (found: ArrayLike<number>, expected: ReadonlyArray<number>) =>
  expected.reduce((most, x, i) => Math.max(most, Math.abs(x - found[i]!)), 0)

const gap = (model: CausalLM, { policyLogProbs, responseIds }: GeneratedResponse) =>
  worst(policyLogProbs, scores(model, [...responseIds]))

describe("weights", () => {
  it.live("are those of the moment, and a copy that stayed behind is found out", () =>
    Effect.gen(function* () {
      const [model, after] = [tinyModel(3, { trainable: true }), tinyModel(4)]
      const stale = freeze(model)
      yield* Effect.gen(function* () {
        const { generate, policyVersion } = yield* Generator
        expect(yield* engineProbe).toBeCloseTo(trainerProbe(model), 3)
        const [before] = yield* generate([what])
        assign(model, after.parameters)
        expect(yield* policyVersion).toBe(1)
        const [now] = yield* generate([what])
        for (const { policyVersions } of before!.responses) expect(new Set(policyVersions)).toEqual(new Set([0]))
        for (const response of now!.responses) {
          expect(new Set(response.policyVersions)).toEqual(new Set([1]))
          expect(gap(model, response)).toBeLessThanOrEqual(1e-4)
          expect(gap(stale, response)).toBeGreaterThan(0.1)
        }
        expect(yield* engineProbe).toBeCloseTo(trainerProbe(model), 3)
      }).pipe(Effect.provide(Generator.layerModel(model)))
      const left = yield* Effect.provide(engineProbe, Generator.layerModel(stale))
      expect(Math.abs(left - trainerProbe(model))).toBeGreaterThan(0.1)
      for (const made of [stale, model, after]) made.dispose()
    }).pipe(Effect.provide(ModelRuntime.layerWasm))
  )

  it.live("that change in the middle of a response: each token's log-prob is by the weights of its stamp", () =>
    Effect.gen(function* () {
      const [model, after] = [tinyModel(3, { trainable: true }), tinyModel(4)]
      const old = freeze(model)
      const tokens: Array<TokenEvent> = []
      yield* Effect.flatMap(Generator, ({ stream }) =>
        stream(what).pipe(
          Stream.runForEach((event) =>
            Effect.sync(() => {
              if (event._tag === "Token" && tokens.push(event) === 30) assign(model, after.parameters)
            })
          )
        )
      ).pipe(Effect.provide(Generator.layerModel(model, { maxRows: 2 })))
      for (const sample of [0, 1, 2]) {
        const own = tokens.filter((token) => token.sample === sample)
        const response = own.map(({ id }) => id)
        const byVersion = [scores(old, response), scores(model, response)]
        const expected = own.map(({ policyVersion }, t) => byVersion[policyVersion]![t]!)
        expect(
          worst(
            own.map(({ policyLogProb }) => policyLogProb),
            expected
          )
        ).toBeLessThanOrEqual(1e-4)
        expect(new Set(own.map(({ policyVersion }) => policyVersion)).size).toBe(sample === 2 ? 1 : 2)
      }
      for (const made of [old, model, after]) made.dispose()
    }).pipe(Effect.provide(ModelRuntime.layerWasm))
  )
})
