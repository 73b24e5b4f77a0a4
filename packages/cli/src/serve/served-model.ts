import { checkVocabulary, flagName, loadTokenizer } from "@plumbline/data"
import { Policy, readConfig } from "@plumbline/models"
import { type AdapterOptions, adaptedPolicy } from "@plumbline/peft"
import { OptionsInvalid } from "@plumbline/training"
import { Context, Effect, Layer } from "effect"
import { openModel } from "../model-input.ts"
import { newAdapterFields, type ServeOptions } from "./serve-options.ts"

/** The model of the options: where weights are accepted, one whose variables are what a run trains. */
export const servedModel = Effect.fnUntraced(function* (options: ServeOptions, adapter: string | undefined) {
  const refuse = (option: string, reason: string) => new OptionsInvalid({ option, reason })
  const asked = newAdapter(options)
  if (!options.acceptWeights) {
    const [unread] = Object.keys(asked)
    if (unread === undefined) return yield* openModel({ model: options.model, adapter })
    return yield* refuse(flagName(unread), "is of an adapter that a run trains, and read with --accept-weights alone")
  }
  if (adapter === undefined && options.adapter !== undefined) {
    return yield* refuse("--accept-weights", "is for one model or one adapter: give --adapter DIR, without a name")
  }
  return yield* trainedModel(
    options.model,
    { ...asked, ...(adapter !== undefined && { adapter }) },
    options.adapterSeed
  )
})

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
