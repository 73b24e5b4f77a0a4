import { loadTokenizer } from "@plumbline/data"
import { createModel, llama, mixtral, readConfig, saveModel } from "@plumbline/models"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect } from "effect"

/**
 * Writes a random Llama, or a Mixtral of as many experts, with the vocabulary of `model`, whose matrices are large enough for
 * processes to divide them by 2 and 3.
 */
export const writeWideModel = (model: string, output: string, layers = 1, experts = 0): Promise<void> =>
  Effect.gen(function* () {
    const { vocabulary } = yield* readConfig(model)
    const sizes = { vocabulary, width: 192, layers, heads: 4, mlpWidth: 384, maxPositions: 512 }
    const table = experts === 0 ? { family: llama, ...sizes } : { family: mixtral, experts, perToken: 2, ...sizes }
    yield* saveModel(createModel(table, 5), output, { extraFiles: (yield* loadTokenizer(model)).files })
  }).pipe(Effect.provide(ModelRuntime.layerWasm), Effect.runPromise)
