import { Tokenizer } from "@plumbline/data"
import { hasHead, headedModel, loadScalarModel, type NewHead } from "@plumbline/models"
import { adapterHead, type AdapterOptions, AdapterUnfit, isAdapted } from "@plumbline/peft"
import { Effect, Layer } from "effect"
import { heldModel, type HeldBase } from "../../held-base.ts"
import { PromptData } from "../../responses/prompt-data.ts"
import { adaptedScalar } from "../../reward-model/adapted-scalar.ts"
import { Critic } from "./critic.ts"
import { type CriticOptions, modelCritic } from "./model-critic.ts"

interface CriticSource {
  /** Of the head, where the folder's model has none, and of a new adapter. */
  readonly seed: number
  /** An adapter on the folder's model, which then is frozen: it and the head are trained. All of the model when absent. */
  readonly adapter?: AdapterOptions | undefined
  /** Used in place of a copy of its own, where it is the folder's, an adapter is on it, and the head is new. */
  readonly held?: HeldBase | undefined
}

export type CriticFolderOptions = Omit<CriticOptions, "layout" | "padId" | "split" | "extraFiles"> & CriticSource

/** A critic of this process from a model folder: a reward model's, or a language model's with a new head. */
export const criticFolder = (folder: string, { adapter, held, seed, ...options }: CriticFolderOptions) =>
  Layer.effect(
    Critic,
    Effect.gen(function* () {
      const { layout, padId, split } = yield* PromptData
      const { files: extraFiles } = yield* Tokenizer
      const model = yield* criticModel(folder, { adapter, held, seed, padId })
      return yield* modelCritic(model, { ...options, layout, padId, split, extraFiles })
    })
  )

interface CriticModelOptions extends CriticSource {
  readonly padId: number
}

/** The model alone. Its first score is the value. It goes with the scope. */
export const criticModel = Effect.fnUntraced(function* (
  folder: string,
  { adapter = {}, held, padId, seed }: CriticModelOptions
) {
  const head = (yield* hasHead(folder)) ? undefined : yield* newHead(folder, adapter, seed)
  const shared = isAdapted(adapter) && head !== undefined ? heldModel(held, folder) : undefined
  const base = yield* Effect.acquireRelease(
    shared !== undefined
      ? Effect.sync(() => headedModel(shared, head!, { name: "critic", padId }))
      : loadScalarModel(folder, { name: "critic", trainable: !isAdapted(adapter), head, padId }),
    ({ dispose }) => Effect.sync(dispose)
  )
  return yield* adaptedScalar(base, adapter, { folder, seed })
})

/** That of the adapter, or one that knows nothing. */
const newHead = Effect.fnUntraced(function* (folder: string, { adapter }: AdapterOptions, seed: number) {
  const fresh: NewHead = { attributes: ["value"], pooling: "last", seed }
  if (adapter === undefined) return fresh
  const brought = yield* adapterHead(adapter)
  if (brought !== undefined) return { ...brought, seed }
  const reason = `is no adapter of a reward model or a critic: it brings no head, and ${folder} has none`
  return yield* new AdapterUnfit({ adapter, reason })
})
