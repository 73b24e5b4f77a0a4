import { Tokenizer } from "@plumbline/data"
import { hasHead, loadScalarModel } from "@plumbline/models"
import { Effect, Layer } from "effect"
import { PromptData } from "../../responses/prompt-data.ts"
import { Critic } from "./critic.ts"
import { type CriticOptions, modelCritic } from "./model-critic.ts"

export type CriticFolderOptions = Omit<CriticOptions, "layout" | "padId" | "split" | "extraFiles"> & {
  /** Of the head, where the folder's model has none. */
  readonly seed: number
}

/** A critic of this process from a model folder: a reward model's, or a language model's with a new head. */
export const criticFolder = (folder: string, { seed, ...options }: CriticFolderOptions) =>
  Layer.effect(
    Critic,
    Effect.gen(function* () {
      const { layout, padId, split } = yield* PromptData
      const { files: extraFiles } = yield* Tokenizer
      const model = yield* Effect.acquireRelease(criticModel(folder, seed, padId), ({ dispose }) =>
        Effect.sync(dispose)
      )
      return yield* modelCritic(model, { ...options, layout, padId, split, extraFiles })
    })
  )

/** The model alone. Its first score is the value. */
export const criticModel = Effect.fnUntraced(function* (folder: string, seed: number, padId: number) {
  const head = (yield* hasHead(folder)) ? undefined : { attributes: ["value"], pooling: "last" as const, seed }
  return yield* loadScalarModel(folder, { name: "critic", trainable: true, head, padId })
})
