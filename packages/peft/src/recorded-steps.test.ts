import { expect, it } from "@effect/vitest"
import { createModel, freeze, loadCausalLM, qwen2, saveModel } from "@plumbline/models"
import { stepsBothWays, tinyModel, tinyTable } from "@plumbline/models/testing"
import { philoxStream, tf } from "@plumbline/runtime"
import { bfloat16Backends, float32Backends } from "@plumbline/runtime/testing"
import { Effect } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe } from "vitest"
import { adaptNew } from "./adapt.ts"
import type { AdapterMethod } from "./method.ts"
import { bitFit } from "./methods/bit-fit.ts"
import { ia3 } from "./methods/ia3.ts"
import { lora } from "./methods/lora.ts"
import { vera } from "./methods/vera.ts"

type Model = ReturnType<typeof tinyModel>

/** Puts noise on what is trained, so that nothing is 0 or 1 any more. */
const disturbed = (model: Model): Model => {
  model.variables.forEach((variable, v) => {
    const { normal } = philoxStream(7, `disturb/${v}`)
    const noise = Float32Array.from({ length: variable.size }, (_, i) => 0.1 * normal(i))
    tf.tidy(() => variable.assign(tf.add(variable, tf.tensor(noise, variable.shape))))
  })
  return model
}

const methods: ReadonlyArray<readonly [string, () => AdapterMethod]> = [
  ["LoRA", () => lora({ rank: 3, alpha: 6 })],
  ["LoRA on queries and the head", () => lora({ rank: 2, targets: ["q_proj", "lm_head"] })],
  [
    "LoRA with heads, embeddings and biases in full",
    () => lora({ rank: 2, targets: ["q_proj"], trainedModules: ["embed_tokens", "lm_head"], biases: "all" })
  ],
  ["DoRA", () => lora({ rank: 3, decomposed: true })],
  ["(IA)³", () => ia3()],
  ["VeRA", () => vera({ rank: 5 })],
  ["BitFit", () => bitFit()]
]

/** How far a number of the logits, which are around 3.5, may be from the other: libtorch's own products differ with their rows. */
const gaps = [1e-5, 2 ** -6]
const onCpu = [float32Backends, bfloat16Backends].map((backends, i) => {
  const { isThere, layer } = backends.find(({ name }) => name === "torch")!
  return { precision: ["float32", "bfloat16"][i]!, isThere, layer, gap: gaps[i]! }
})

for (const { gap, isThere, layer, precision } of onCpu) {
  describe.skipIf(!isThere)(`a recorded step in ${precision} has the logits of one that is not`, () => {
    const expectBoth = (model: Model) => {
      const { recordings, steps } = stepsBothWays(model, [[3, 9, 4], [8], [8, 1, 5, 17, 2, 3, 4, 5, 6]], 3)
      expect(recordings).toBe(1)
      for (const { plain, recorded } of steps) {
        expect(recorded.length).toBe(3 * tinyTable.vocabulary)
        Array.from(recorded, (logit, i) => expect(Math.abs(logit - plain[i]!)).toBeLessThanOrEqual(gap))
      }
    }

    it.effect.each(methods)("under %s", ([, make]) =>
      Effect.sync(() => {
        const base = disturbed(createModel({ ...tinyTable, family: qwen2 }, 5))
        expectBoth(disturbed(adaptNew(freeze(base), make(), 3).model))
      }).pipe(Effect.provide(layer))
    )

    it.effect("over a base in 4 bits", () =>
      Effect.gen(function* () {
        const folder = mkdtempSync(join(tmpdir(), "nf4-"))
        yield* saveModel(tinyModel(5), folder)
        const base = yield* loadCausalLM(folder, { name: "base", trainable: false, quantised: true })
        rmSync(folder, { recursive: true })
        expectBoth(disturbed(adaptNew(base, lora({ rank: 2 }), 1).model))
      }).pipe(Effect.provide(layer))
    )
  })
}
