import { expect, it } from "@effect/vitest"
import { createModel } from "@plumbline/models"
import { stepsBothWays } from "@plumbline/models/testing"
import { bfloat16Backends, float32Backends } from "@plumbline/runtime/testing"
import { Effect } from "effect"
import { describe } from "vitest"
import { Generator } from "../generator.ts"
import { onEveryBackend } from "../testing/backends.ts"
import { prompt, request } from "../testing/index.ts"
import { oddModels, titleOf } from "../testing/odd-models.ts"

/** How far a number of the logits, which are around 3, may be from the other: libtorch's own products differ with their rows. */
const gaps = [1e-5, 2 ** -6]
const onCpu = [float32Backends, bfloat16Backends].map((backends, i) => {
  const { isThere, layer } = backends.find(({ name }) => name === "torch")!
  return { precision: ["float32", "bfloat16"][i]!, isThere, layer, gap: gaps[i]! }
})

for (const { gap, isThere, layer, precision } of onCpu) {
  describe.skipIf(!isThere)(`a recorded step in ${precision}`, () => {
    it.live.each(oddModels.map((table) => [titleOf(table), table] as const))(
      "has the logits of one that is not: %s",
      ([, table]) =>
        Effect.sync(() => {
          const model = createModel(table, 7, { trainable: false })
          const prompts = [3, 1, 17, 30, 40].map((length, i) => [...prompt(length, i)])
          const { recordings, steps } = stepsBothWays(model, prompts, 3)
          const isMixture = model.config.mlps.some(({ mixture }) => mixture !== undefined)
          expect(recordings).toBe(isMixture ? 0 : 1)
          for (const { plain, recorded } of steps) {
            expect(recorded.length).toBe(5 * table.vocabulary)
            const furthest = Array.from(recorded, (logit, i) => Math.abs(logit - plain[i]!)).reduce((a, b) =>
              Math.max(a, b)
            )
            expect(furthest).toBeLessThanOrEqual(gap)
          }
          model.dispose()
        }).pipe(Effect.provide(layer))
    )
  })
}

onEveryBackend("a step that is begun before the last one is read", (layer) => {
  it.live.each(oddModels.map((table) => [titleOf(table), table] as const))(
    "is one for every family, whether its steps are recorded or not: %s",
    ([, table]) =>
      Effect.gen(function* () {
        const model = createModel(table, 7, { trainable: false })
        const requests = [3, 1, 17].map((length, i) => request(prompt(length, i), i))
        const written = (goAhead: boolean) =>
          Effect.flatMap(Generator, ({ generate }) => generate(requests)).pipe(
            Effect.provide(Generator.layerModel(model, { goAhead, draftRows: 0 })),
            Effect.map((groups) => groups.map(({ responses }) => [...responses[0]!.responseIds]))
          )
        expect(yield* written(true)).toEqual(yield* written(false))
        model.dispose()
      }).pipe(Effect.provide(layer))
  )
})
