import { expect, it } from "@effect/vitest"
import { ModelRuntime } from "@plumbline/runtime"
import { float32Backends } from "@plumbline/runtime/testing"
import { Effect } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createModel } from "../create-model.ts"
import { llama } from "../families/llama.ts"
import { loadCausalLM } from "./load.ts"
import { saveModel } from "./save.ts"

const table = { family: llama, vocabulary: 64, width: 256, layers: 8, heads: 4, mlpWidth: 512, maxPositions: 16 }
/** Of the blocks' matrices: 4 of 256·256 and 3 of 256·512 in each. */
const NUMBERS = 8 * (4 * 256 * 256 + 3 * 256 * 512)

const saved = Effect.gen(function* () {
  const folder = mkdtempSync(join(tmpdir(), "streamed-"))
  const model = createModel(table, 0, { trainable: false })
  yield* saveModel(model, folder)
  model.dispose()
  return folder
}).pipe(Effect.provide(ModelRuntime.layerWasm))

const torch = float32Backends.find(({ name }) => name === "torch")!

it.effect.skipIf(!torch.isThere)("a model is packed to 4 bits matrix by matrix, never whole in memory", () =>
  Effect.gen(function* () {
    const folder = yield* saved
    yield* Effect.gen(function* () {
      const runtime = yield* ModelRuntime
      const before = runtime.memory().allocatedBytes!
      const model = yield* loadCausalLM(folder, { name: "base", trainable: false, quantised: true })
      const { allocatedBytes, peakBytes } = runtime.memory()
      // 4.13 bits a number, and some for the embedding, the output matrix and norms
      expect(allocatedBytes! - before).toBeLessThan(0.6 * NUMBERS)
      // beside them one matrix of 256·512 in float32 and what packing it takes, a few times as much
      expect(peakBytes! - before).toBeLessThan(0.6 * NUMBERS + 6 * 4 * 256 * 512)
      model.dispose()
    }).pipe(Effect.provide(torch.layer))
    rmSync(folder, { recursive: true })
  })
)
