import { flagName, option, optional, Positive, PositiveInt, Share } from "@plumbline/data"
import { Effect, Schema } from "effect"
import { AdapterUnfit } from "./errors.ts"
import { fitting } from "./file/load-adapter.ts"
import type { AdapterMethod } from "./method.ts"
import { bitFit } from "./methods/bit-fit.ts"
import { ia3 } from "./methods/ia3.ts"
import { lora } from "./methods/lora.ts"
import { prefixTuning } from "./methods/prefix-tuning.ts"
import { promptTuning } from "./methods/prompt-tuning.ts"
import { vera } from "./methods/vera.ts"
import { ALL_LINEAR } from "./targets.ts"

const Numbers = <S extends typeof PositiveInt | typeof Positive>(schema: S) => Schema.Record(Schema.String, schema)

const AdapterType = Schema.Literals(["lora", "ia3", "vera", "bitfit", "prompt", "prefix"])

/** What to train beside a frozen model, as flags. */
export const adapterFields = {
  adapter: optional(Schema.NonEmptyString, "folder of an adapter of the model, in PEFT's layout, to go on with"),
  adapterType: optional(AdapterType, "kind of a new adapter (default: lora where --lora-rank is given, else none)"),
  loraRank: optional(PositiveInt, "train a new adapter of this rank and leave the model as it is"),
  loraAlpha: optional(Positive, "scale of the adapter times its rank (default: the rank)"),
  loraDropout: optional(Share, "share of its inputs that the adapter does not see while it is trained (default: 0)"),
  loraTargets: optional(
    Schema.Array(Schema.NonEmptyString),
    "linear layers with an adapter: ends of their names, a pattern for whole names, or all-linear (default: all-linear)"
  ),
  loraRankPattern: optional(Numbers(PositiveInt), 'ranks of layers whose names a pattern matches, as {"v_proj": 4}'),
  loraAlphaPattern: optional(Numbers(Positive), 'the same of --lora-alpha, as {"v_proj": 8}'),
  rslora: option(Schema.Boolean, false, "scale by the root of the rank (rsLoRA)"),
  dora: option(Schema.Boolean, false, "learn the magnitude of each output apart (DoRA)"),
  loraInit: optional(
    Schema.Literals(["kaiming", "gaussian", "orthogonal", "pissa"]),
    "how matrices begin; pissa: as the weights' largest singular values (default: kaiming)"
  ),
  loraPlusRatio: optional(Positive, "learning rate of the adapter's second matrix over that of its first (LoRA+)"),
  virtualTokens: optional(
    PositiveInt,
    "virtual tokens before every row: embeddings (--adapter-type prompt) or keys and values of every layer (prefix)"
  ),
  virtualTokenInit: optional(
    Schema.Literals(["vocabulary", "random"]),
    "what virtual tokens begin as: any tokens of the vocabulary, or N(0, 1) as PEFT's (default: vocabulary)"
  ),
  virtualTokenText: optional(
    Schema.NonEmptyString,
    "text whose tokens virtual tokens begin as, said again where it is short"
  ),
  quantised: option(Schema.Boolean, false, "keep the model below the adapter in 4 bits (QLoRA)"),
  trainModules: optional(
    Schema.Array(Schema.NonEmptyString),
    "modules trained in full beside the adapter, such as lm_head or embed_tokens"
  )
} as const

const AdapterOptions = Schema.Struct(adapterFields)
export type AdapterOptions = Partial<typeof AdapterOptions.Type>

/** What options ask for: an adapter that is there, or a new one; undefined where all weights are trained. */
export type AdapterChoice = { readonly folder: string } | { readonly method: AdapterMethod } | undefined

type Kind = typeof AdapterType.Type
type Field = keyof AdapterOptions

/** What each kind reads besides `adapterType`. */
const READS: Readonly<Record<Kind, ReadonlyArray<Field>>> = {
  lora: (Object.keys(adapterFields) as ReadonlyArray<Field>).filter(
    (field) => field !== "adapter" && !field.startsWith("virtual")
  ),
  vera: ["loraRank", "loraDropout", "loraTargets", "trainModules"],
  ia3: ["loraTargets", "trainModules"],
  bitfit: ["trainModules"],
  prompt: ["virtualTokens", "virtualTokenInit", "virtualTokenText", "trainModules"],
  prefix: ["virtualTokens", "virtualTokenInit", "virtualTokenText", "trainModules"]
}

/** What each kind cannot do without. */
const NEEDS: Readonly<Record<Kind, Field | undefined>> = {
  lora: "loraRank",
  vera: "loraRank",
  ia3: undefined,
  bitfit: undefined,
  prompt: "virtualTokens",
  prefix: "virtualTokens"
}

/** A pattern is one text that is no plain name. */
const targetsOf = (targets: ReadonlyArray<string> = [ALL_LINEAR]): string | ReadonlyArray<string> => {
  const [only, ...others] = targets
  return only !== undefined && others.length === 0 && (only === ALL_LINEAR || !/^[\w.]+$/.test(only)) ? only : targets
}

const makers: Readonly<Record<Kind, (options: AdapterOptions, textIds: Int32Array | undefined) => AdapterMethod>> = {
  lora: (options) =>
    lora({
      targets: targetsOf(options.loraTargets),
      rank: options.loraRank!,
      alpha: options.loraAlpha,
      dropout: options.loraDropout,
      rankPattern: options.loraRankPattern,
      alphaPattern: options.loraAlphaPattern,
      rankStabilized: options.rslora,
      decomposed: options.dora,
      init: options.loraInit,
      plusRatio: options.loraPlusRatio,
      trainedModules: options.trainModules
    }),
  vera: ({ loraDropout: dropout, loraRank, loraTargets, trainModules: trainedModules }) =>
    vera({ targets: targetsOf(loraTargets), rank: loraRank!, dropout, trainedModules }),
  ia3: ({ loraTargets, trainModules: trainedModules }) =>
    ia3({ targets: loraTargets === undefined ? undefined : targetsOf(loraTargets), trainedModules }),
  prompt: (options, textIds) => promptTuning(virtualTokensOf(options, textIds)),
  prefix: (options, textIds) => prefixTuning(virtualTokensOf(options, textIds)),
  bitfit: ({ trainModules: trainedModules }) => bitFit({ ...(trainedModules && { trainedModules }) })
}

const virtualTokensOf = (
  { trainModules: trainedModules, virtualTokenInit, virtualTokens }: AdapterOptions,
  ids: Int32Array | undefined
) => ({ tokens: virtualTokens!, init: ids === undefined ? virtualTokenInit : { ids }, trainedModules })

/** Whether options ask for an adapter. */
export const isAdapted = ({ adapter, adapterType, loraRank }: AdapterOptions): boolean =>
  adapter !== undefined || adapterType !== undefined || loraRank !== undefined

/**
 * What options ask for; those that nothing reads are refused.
 *
 * @param textIds tokens of `virtualTokenText`, where that is given
 */
export const adapterChoice = (
  options: AdapterOptions,
  textIds?: Int32Array
): Effect.Effect<AdapterChoice, AdapterUnfit> => {
  const given = (Object.keys(adapterFields) as ReadonlyArray<Field>).filter(
    (field) => field !== "quantised" && options[field] !== undefined && options[field] !== false
  )
  const refuse = (field: string, reason: string) => Effect.fail(new AdapterUnfit({ adapter: flagName(field), reason }))
  if (options.adapter !== undefined) {
    const other = given.find((field) => field !== "adapter")
    if (other !== undefined) return refuse(other, "begins a new adapter, and --adapter goes on with one: leave one out")
    return Effect.succeed({ folder: options.adapter })
  }
  if (!isAdapted(options) && options.quantised === true) {
    return refuse("quantised", "is for the model below an adapter: give --lora-rank, --adapter-type or --adapter, too")
  }
  if (!isAdapted(options)) {
    return given.length === 0
      ? Effect.succeed(undefined)
      : refuse(given[0]!, "is read with --lora-rank or --adapter-type only")
  }
  const kind = options.adapterType ?? "lora"
  const unread = given.find((field) => field !== "adapterType" && !READS[kind].includes(field))
  if (unread !== undefined) return refuse(unread, `is not read by --adapter-type ${kind}`)
  const needed = NEEDS[kind]
  if (needed !== undefined && options[needed] === undefined) {
    return refuse(needed, `must be given with --adapter-type ${kind}`)
  }
  if (options.virtualTokenInit !== undefined && options.virtualTokenText !== undefined) {
    return refuse("virtualTokenInit", "is read where no --virtual-token-text is given: leave one out")
  }
  return Effect.map(
    fitting(() => makers[kind](options, textIds)),
    (method) => ({ method })
  )
}
