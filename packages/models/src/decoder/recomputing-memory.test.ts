import { expect, it } from "@effect/vitest"
import { collate } from "@plumbline/data"
import { ModelRuntime, tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { createModel } from "../create-model.ts"
import { llama } from "../families/llama.ts"
import type { CausalLM } from "../model.ts"

const TOKENS = 1024
const LAYERS = 8

const rows = collate([{ ids: new Int32Array(TOKENS), lossMask: new Uint8Array(TOKENS).fill(1, 1) }], {
  layout: "packed",
  padId: 0
})

const backward = (model: CausalLM) =>
  tf.tidy(() => void tf.variableGrads(() => tf.sum(model.tokenLogProbs(rows).logProbs), [...model.variables]))

// In a process of its own (vitest.config.ts): the WebAssembly heap only grows, so its length is the peak so far.
it.effect("recomputing takes a fraction of the memory of keeping", () =>
  Effect.gen(function* () {
    const { memory } = yield* ModelRuntime
    const table = { family: llama, vocabulary: 64, width: 64, layers: LAYERS, heads: 2, mlpWidth: 256 }
    const model = createModel({ ...table, maxPositions: TOKENS }, 1)
    const reserved = () => memory().reservedBytes!
    backward(model.recomputing())
    const recomputing = reserved()
    backward(model)
    const keeping = reserved()
    // kept by a token and layer: norms in and out, heads, attention out and three of the MLP, 4·64 + 4·64 + 3·256 numbers
    const activations = 4 * TOKENS * LAYERS * (4 * 64 + 4 * 64 + 3 * 256)
    expect(keeping).toBeGreaterThan(activations)
    expect(keeping - recomputing).toBeGreaterThan(activations / 2)
    model.dispose()
  }).pipe(Effect.provide(ModelRuntime.layerWasm))
)
