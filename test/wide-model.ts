import { loadTokenizer } from "@plumbline/data"
import { createModel, llama, readConfig, saveModel } from "@plumbline/models"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect } from "effect"

/** Writes a random Llama with the vocabulary of `model`, whose matrices are large enough for processes to divide them by 2 and 3. */
export const writeWideModel = (model: string, output: string, layers = 1): Promise<void> =>
  Effect.gen(function* () {
    const { vocabulary } = yield* readConfig(model)
    const table = { family: llama, vocabulary, width: 192, layers, heads: 4, mlpWidth: 384, maxPositions: 512 }
    yield* saveModel(createModel(table, 5), output, { extraFiles: (yield* loadTokenizer(model)).files })
  }).pipe(Effect.provide(ModelRuntime.layerWasm), Effect.runPromise)
