import { checkVocabulary, loadTokenizer, type PromptRecord } from "@plumbline/data"
import { type CausalLM, loadCausalLM, readConfig } from "@plumbline/models"
import { adaptedForUse } from "@plumbline/peft"
import { needed, optional } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { placeOf } from "./prompt-input.ts"

/** Where a model for inference comes from. */
export const modelFields = {
  model: needed(Schema.NonEmptyString, "model folder, in the Hugging Face layout"),
  adapter: optional(Schema.NonEmptyString, "folder of an adapter of the model, in PEFT's layout")
} as const

export interface ModelFolder {
  readonly model: string
  readonly adapter?: string | undefined
}

/** A model of a folder for inference, and its tokenizer. The model goes with the scope. */
export const openModel = Effect.fnUntraced(function* ({ adapter, model: folder }: ModelFolder) {
  // A folder that is no model is said to be none, not to lack a tokenizer.
  yield* readConfig(folder)
  const tokenizer = yield* loadTokenizer(folder)
  const model = yield* Effect.acquireRelease(loadCausalLM(folder, { trainable: false, name: "model" }), (loaded) =>
    Effect.sync(loaded.dispose)
  )
  yield* checkVocabulary(tokenizer, model.config.vocabulary)
  return { model: yield* adaptedForUse(model, adapter), tokenizer }
})

/** A row that the model cannot read: it is empty, longer than the context, or has ids the model does not know. */
export class RowUnusable extends Schema.TaggedError<RowUnusable>()("RowUnusable", {
  place: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.place}: ${this.reason}`
  }
}

/** Fails on the first row that the model cannot read. @param room tokens that must stay free behind a row */
export const checkRows = (
  { config, contextTokens }: CausalLM,
  records: ReadonlyArray<PromptRecord>,
  rows: ReadonlyArray<Int32Array>,
  room: number
) =>
  Effect.forEach(
    rows,
    (ids, i) => {
      const refuse = (reason: string) => Effect.fail(new RowUnusable({ place: placeOf(records[i]!), reason }))
      const most = contextTokens - room
      const unknown = ids.find((id) => id < 0 || id >= config.vocabulary)
      if (ids.length === 0) return refuse("has no tokens")
      if (ids.length > most) return refuse(`has ${ids.length} tokens, and the model's context leaves room for ${most}`)
      if (unknown !== undefined) return refuse(`token id ${unknown} is outside the vocabulary of ${config.vocabulary}`)
      return Effect.void
    },
    { discard: true }
  )
