import { loadTokenizer } from "@plumbline/data"
import { loadScalarModel, saveModel } from "@plumbline/models"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect } from "effect"

/** Writes a reward model with a random head, whose rewards of any two responses differ. */
export const writeRewardModel = (model: string, output: string): Promise<void> =>
  Effect.gen(function* () {
    const head = { attributes: ["reward"], pooling: "last", seed: 3 } as const
    const scored = yield* loadScalarModel(model, { name: "reward", trainable: false, head })
    yield* saveModel(scored, output, { extraFiles: (yield* loadTokenizer(model)).files })
  }).pipe(Effect.provide(ModelRuntime.layerWasm), Effect.runPromise)
