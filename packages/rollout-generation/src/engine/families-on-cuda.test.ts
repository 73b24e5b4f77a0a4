import { it } from "@effect/vitest"
import { createModel, type DecoderTable } from "@plumbline/models"
import { ModelRuntime } from "@plumbline/runtime"
import { hasCuda } from "@plumbline/runtime/testing"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { Generator } from "../generator.ts"
import { prompt, request, trainerScores } from "../testing/index.ts"
import { oddModels, titleOf } from "../testing/odd-models.ts"

const LENGTHS = [1, 5, 17, 31, 64, 100]

/** Responses to prompts of many lengths, greedy and drawn, more rows than one kernel's tile has. */
const written = Effect.fnUntraced(function* (table: DecoderTable) {
  const model = createModel(table, 7, { trainable: false })
  const greedy = LENGTHS.map((length, i) => request(prompt(length, i), i, { temperature: 0, maxNewTokens: 40 }))
  const drawn = LENGTHS.map((length, i) => request(prompt(length, i), i, { maxNewTokens: 40 }, { samples: 3 }))
  const groups = yield* Effect.flatMap(Generator, ({ generate }) => generate([...greedy, ...drawn])).pipe(
    Effect.provide(Generator.layerModel(model, { maxRows: 32 }))
  )
  const responses = groups.flatMap(({ promptIds, responses: all }) =>
    all.map(({ policyLogProbs, responseIds }) => ({
      ids: [...responseIds],
      logProbs: [...policyLogProbs],
      scored: [...trainerScores(model, [...promptIds, ...responseIds]).subarray(promptIds.length - 1)]
    }))
  )
  model.dispose()
  return responses
})

const furthest = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): number => {
  expect(a).toHaveLength(b.length)
  return Math.max(0, ...a.map((x, i) => Math.abs(x - b[i]!)))
}

const [onCpu, onCuda] = (["cpu", "cuda"] as const).map((device) => ModelRuntime.layerTorch({ device }))

describe.skipIf(!hasCuda())("on CUDA", () => {
  it.live.each(oddModels.map((table) => [titleOf(table), table] as const))(
    "%s writes what it writes on the CPU",
    ([, table]) =>
      Effect.gen(function* () {
        const expected = yield* Effect.provide(written(table), onCpu!)
        const found = yield* Effect.provide(written(table), onCuda!)
        expect(found.map(({ ids }) => ids)).toEqual(expected.map(({ ids }) => ids))
        found.forEach(({ logProbs, scored }, i) => {
          expect(furthest(logProbs, expected[i]!.logProbs)).toBeLessThan(1e-4)
          expect(furthest(logProbs, scored)).toBeLessThan(1e-4)
        })
      })
  )
})

/** What batch-invariant kernels take, and what they refuse. */
const invariant = oddModels.filter(({ headWidth, heads, keyValueHeads = heads }) => {
  return [16, 32, 64, 128, 256].includes(headWidth!) && heads / keyValueHeads <= 8
})
const wide = [64, 128, 256, 32].map((headWidth, i): DecoderTable => {
  const { family, settings } = oddModels[[0, 5, 7, 3][i]!]!
  return { ...oddModels[0]!, family, headWidth, heads: 8, keyValueHeads: 2 ** i, settings: settings! }
})

describe.skipIf(!hasCuda())("on CUDA in bfloat16, batch-invariant", () => {
  const layer = ModelRuntime.layerTorch({ device: "cuda", precision: "bfloat16", batchInvariant: true })
  it.live.each([...invariant, ...wide].map((table) => [titleOf(table), table] as const))(
    "%s: the sampler's log-probs are the trainer's",
    ([, table]) =>
      Effect.gen(function* () {
        for (const { logProbs, scored } of yield* written(table)) {
          expect(furthest(logProbs, scored)).toBeLessThan(1e-5)
        }
      }).pipe(Effect.provide(layer))
  )
})
