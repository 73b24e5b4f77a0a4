import { checkVocabulary, flagName, loadTokenizer } from "@plumbline/data"
import { Policy, readConfig } from "@plumbline/models"
import { type AdapterOptions, adaptedPolicy } from "@plumbline/peft"
import { OptionsInvalid } from "@plumbline/training"
import { Context, Effect, Layer } from "effect"
import { openModel } from "../model-input.ts"
import { newAdapterFields, type ServeOptions } from "./serve-options.ts"

/** The model of the options: where weights are accepted, one whose variables are what a run trains. */
export const servedModel = Effect.fnUntraced(function* (options: ServeOptions, adapter: string | undefined) {
  if (!options.acceptWeights) return yield* openModel({ model: options.model, adapter })
  if (adapter === undefined && options.adapter !== undefined) {
    const reason = "is for one model or one adapter: give --adapter DIR, without a name"
    return yield* new OptionsInvalid({ option: "--accept-weights", reason })
  }
  return yield* trainedModel(
    options.model,
    { ...newAdapter(options), ...(adapter !== undefined && { adapter }) },
    options.adapterSeed
  )
})

/** Refuses what nothing reads where weights are not accepted. */
export const refuseUnread = (options: ServeOptions): Effect.Effect<void, OptionsInvalid> => {
  const given = [...Object.keys(newAdapter(options)), ...(options.adapterSeed === 0 ? [] : ["adapterSeed"])]
  if (options.acceptWeights || given.length === 0) return Effect.void
  const reason = "is of an adapter that a run trains, and read with --accept-weights alone"
  return Effect.fail(new OptionsInvalid({ option: flagName(given[0]!), reason }))
}

/** What is given of the fields that make a new adapter. */
const newAdapter = (options: ServeOptions): AdapterOptions =>
  Object.fromEntries(
    Object.entries(options).filter(
      ([field, value]) => field in newAdapterFields && value !== undefined && value !== false
    )
  )

const trainedModel = Effect.fnUntraced(function* (folder: string, adapter: AdapterOptions, seed: number) {
  yield* readConfig(folder)
  const tokenizer = yield* loadTokenizer(folder)
  const model = Context.get(yield* Layer.build(adaptedPolicy(folder, adapter, seed)), Policy)
  yield* checkVocabulary(tokenizer, model.config.vocabulary)
  return { model, tokenizer }
})
