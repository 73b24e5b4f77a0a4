import { loadTokenizer, Tokenizer } from "@plumbline/data"
import { hasHead, type Head, type NewHead, readConfig, readHead } from "@plumbline/models"
import { type AdapterOptions, isAdapted } from "@plumbline/peft"
import { RewardModel } from "@plumbline/reward-model"
import { batchFields, option, optional, OptionsInvalid, Overlong } from "@plumbline/training"
import { Effect, Layer, Schema } from "effect"
import { inputFiles } from "../model-folder.ts"
import { adaptedScalar } from "./adapted-scalar.ts"

/** How a command's head begins. */
export const headFields = {
  head: optional(
    Schema.NonEmptyString,
    "head to start from: a model folder, a .safetensors file with score.weight, or JSON (default: the folder's own, else random weights)"
  ),
  pooling: optional(
    Schema.Literals(["last", "mean"]),
    "hidden state that is scored: the last token's, or the mean over the row (default: as the folder's head, else last)"
  )
} as const

/** How data that are scored whole become steps. */
export const scoredBatchFields = {
  ...batchFields,
  overlong: option(
    Overlong,
    "drop",
    "rows and pairs above --max-length: leave out, cut at the end (which loses the token that is scored), or refuse"
  )
} as const

export interface HeadOptions extends AdapterOptions {
  readonly model: string
  readonly train: string
  readonly eval?: string | undefined
  readonly head?: string | undefined
  readonly pooling?: Head["pooling"] | undefined
  readonly seed: number
}

/**
 * The reward model of a folder, to be trained, and its tokenizer.
 *
 * @param attributes of a head that is made; those of the folder's own head, which it must then have, when absent
 */
export const rewardFolder = (options: HeadOptions, attributes: ReadonlyArray<string> | undefined) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const tokenizer = yield* loadTokenizer(options.model)
      const head = yield* newHead(options, attributes)
      if (options.quantised === true) {
        const reason = "is for policies; a reward model is kept as it is"
        return yield* new OptionsInvalid({ option: "--quantised", reason })
      }
      const whole = { head, padId: tokenizer.padId, trainable: !isAdapted(options) }
      const model = RewardModel.layerFromFolder(options.model, whole)
      return Layer.merge(
        isAdapted(options) ? Layer.provide(adaptedReward(options), model) : model,
        Layer.succeed(Tokenizer, tokenizer)
      )
    })
  )

/** The reward model with an adapter, beside which its head is trained. */
const adaptedReward = (options: HeadOptions) =>
  Layer.effect(
    RewardModel,
    Effect.flatMap(RewardModel, (base) => adaptedScalar(base, options, { seed: options.seed, folder: options.model }))
  )

/** The head to make; undefined where the folder's own goes on. */
const newHead = Effect.fnUntraced(function* (options: HeadOptions, attributes: ReadonlyArray<string> | undefined) {
  const { head, model, pooling, seed } = options
  if (head === undefined && (yield* hasHead(model))) {
    if (pooling === undefined) return undefined
    const reason = `${model} has a head, which goes on as it is: leave it out, or give another --head`
    return yield* new OptionsInvalid({ option: "--pooling", reason })
  }
  const names = attributes ?? ["reward"]
  const made: NewHead = { attributes: names, pooling: pooling ?? "last", seed }
  if (head === undefined) return made
  const { width } = yield* readConfig(model)
  return { ...made, weights: yield* readHead(head, names.length, width) }
})

/** Every file that decides a run's numbers. */
export const rewardInputs = (options: HeadOptions): ReadonlyArray<string> => [
  ...inputFiles(options),
  ...(options.head === undefined ? [] : [options.head])
]
