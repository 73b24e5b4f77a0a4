import { checkVocabulary, loadTokenizer } from "@plumbline/data"
import { hasHead, loadScalarModel, readConfig } from "@plumbline/models"
import { adaptedForUse, adapterHead } from "@plumbline/peft"
import { Effect } from "effect"

interface ScoredFolder {
  readonly model: string
  readonly adapter?: string | undefined
}

/** A reward model of a folder for use, with an adapter where one is named, and its tokenizer. The model goes with the scope. */
export const openRewardModel = Effect.fnUntraced(function* ({ adapter, model: folder }: ScoredFolder) {
  // A folder that is no model is said to be none, not to lack a tokenizer.
  yield* readConfig(folder)
  const base = yield* openScored(folder, adapter)
  const model = yield* adaptedForUse(base, adapter)
  const tokenizer = yield* loadTokenizer(folder)
  yield* checkVocabulary(tokenizer, model.config.vocabulary)
  return { model, tokenizer }
})

/** The folder's decoder with its own head, or room for the one that the adapter brings. It goes with the scope. */
export const openScored = Effect.fnUntraced(function* (folder: string, adapter: string | undefined) {
  const brought = adapter === undefined || (yield* hasHead(folder)) ? undefined : yield* adapterHead(adapter)
  const head = brought && { ...brought, seed: 0 }
  return yield* Effect.acquireRelease(loadScalarModel(folder, { trainable: false, name: "reward", head }), (model) =>
    Effect.sync(model.dispose)
  )
})
