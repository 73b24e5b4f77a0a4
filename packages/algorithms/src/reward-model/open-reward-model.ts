import { checkVocabulary, loadTokenizer } from "@plumbline/data"
import { hasHead, headedModel, loadScalarModel, readConfig } from "@plumbline/models"
import { adaptedForUse, adapterHead } from "@plumbline/peft"
import { Effect } from "effect"
import { heldModel, type HeldBase } from "../held-base.ts"

interface ScoredFolder {
  readonly model: string
  readonly adapter?: string | undefined
  /** Used in place of a copy of its own, where it is the folder's and the adapter brings the head. */
  readonly held?: HeldBase | undefined
}

/** A reward model of a folder for use, with an adapter where one is named, and its tokenizer. The model goes with the scope. */
export const openRewardModel = Effect.fnUntraced(function* ({ adapter, held, model: folder }: ScoredFolder) {
  // A folder that is no model is said to be none, not to lack a tokenizer.
  yield* readConfig(folder)
  const base = yield* openScored(folder, adapter, held)
  const model = yield* adaptedForUse(base, adapter)
  const tokenizer = yield* loadTokenizer(folder)
  yield* checkVocabulary(tokenizer, model.config.vocabulary)
  return { model, tokenizer }
})

/** The folder's decoder with its own head, or room for the one that the adapter brings. It goes with the scope. */
export const openScored = Effect.fnUntraced(function* (folder: string, adapter: string | undefined, held?: HeldBase) {
  const brought = adapter === undefined || (yield* hasHead(folder)) ? undefined : yield* adapterHead(adapter)
  const head = brought && { ...brought, seed: 0 }
  const shared = head && heldModel(held, folder)
  return yield* Effect.acquireRelease(
    shared !== undefined
      ? Effect.sync(() => headedModel(shared, head!, { name: "reward" }))
      : loadScalarModel(folder, { trainable: false, name: "reward", head }),
    ({ dispose }) => Effect.sync(dispose)
  )
})
