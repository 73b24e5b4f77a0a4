import type { DecoderConfig } from "@plumbline/models"
import { Effect, Schema } from "effect"
import { readFile } from "node:fs/promises"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { CONFIG_FILE } from "../adapt.ts"
import { AdapterInvalid, AdapterUnfit } from "../errors.ts"
import type { AdapterMethod } from "../method.ts"
import { bitFit } from "../methods/bit-fit.ts"
import { ia3 } from "../methods/ia3.ts"
import { lora } from "../methods/lora.ts"
import { prefixTuning } from "../methods/prefix-tuning.ts"
import { promptTuning } from "../methods/prompt-tuning.ts"
import { vera } from "../methods/vera.ts"
import { splitTargets } from "./fused-targets.ts"

const Names = Schema.Array(Schema.String)
const orNull = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

/** What the kinds of adapters have in common. */
const Shared = Schema.Struct({
  peft_type: Schema.String,
  target_modules: orNull(Schema.Union([Schema.String, Names])),
  exclude_modules: orNull(Schema.Union([Schema.String, Names])),
  layers_to_transform: orNull(Schema.Union([Schema.Int, Schema.Array(Schema.Int)])),
  modules_to_save: orNull(Names),
  task_type: orNull(Schema.String)
})

const Numbers = orNull(Schema.Record(Schema.String, Schema.Finite))

const Lora = Schema.Struct({
  r: Schema.Int,
  lora_alpha: Schema.Finite,
  lora_dropout: orNull(Schema.Finite),
  use_rslora: orNull(Schema.Boolean),
  use_dora: orNull(Schema.Boolean),
  rank_pattern: Numbers,
  alpha_pattern: Numbers,
  init_lora_weights: orNull(Schema.Unknown),
  bias: orNull(Schema.Literals(["none", "all", "lora_only"]))
})

const Ia3 = Schema.Struct({ feedforward_modules: orNull(Schema.Union([Schema.String, Names])) })

const Vera = Schema.Struct({ r: Schema.Int, vera_dropout: orNull(Schema.Finite), d_initial: orNull(Schema.Finite) })

/** The tensor that is stored has been through PEFT's second network already, where there was one. */
const VirtualTokens = Schema.Struct({ num_virtual_tokens: Schema.Int })

/** Fields of PEFT's that change what an adapter computes, and that nothing here reads: they must be off. */
const UNREAD = [
  "alora_invocation_tokens",
  "arrow_config",
  "fan_in_fan_out",
  "kasa_config",
  "layer_replication",
  "lora_bias",
  "monteclora_config",
  "target_parameters",
  "trainable_token_indices",
  "use_bdlora",
  "use_qalora",
  "velora_config"
]

/** Initialisations that move weights of the base, which is then not the base that is on the disk. */
const MOVES_BASE = /^(pissa|olora|corda|loftq)/

type Fields = Readonly<Record<string, unknown>>
type Common = typeof Shared.Type
type Reader = (fields: Fields, common: Common) => Effect.Effect<AdapterMethod, Schema.SchemaError | AdapterUnfit>

/** PEFT names both of transformers' heads for classifiers, whichever the model has. */
const trainedModules = ({ modules_to_save, task_type }: Common) =>
  (modules_to_save ?? []).filter((name) => task_type !== "SEQ_CLS" || name !== "classifier")

const selected = (common: Common) => ({
  ...(common.target_modules == null ? {} : { targets: common.target_modules }),
  exclude: common.exclude_modules ?? undefined,
  layers: common.layers_to_transform == null ? undefined : [common.layers_to_transform].flat(),
  trainedModules: trainedModules(common)
})

const made = (make: () => AdapterMethod) =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(make())
    } catch (cause) {
      return cause instanceof AdapterUnfit ? Effect.fail(cause) : Effect.die(cause)
    }
  })

const BIASES = { none: "none", all: "all", lora_only: "adapted" } as const

const virtualTokens = (fields: Fields, common: Common, make: typeof promptTuning) =>
  Effect.flatMap(Schema.decodeUnknownEffect(VirtualTokens)(fields), ({ num_virtual_tokens: tokens }) =>
    made(() => make({ tokens, trainedModules: trainedModules(common) }))
  )

/** By `peft_type`. */
const readers: Readonly<Record<string, Reader>> = {
  LORA: (fields, common) =>
    Effect.flatMap(Schema.decodeUnknownEffect(Lora)(fields), (read) =>
      made(() =>
        lora({
          ...selected(common),
          rank: read.r,
          alpha: read.lora_alpha,
          dropout: read.lora_dropout ?? 0,
          rankStabilized: read.use_rslora ?? false,
          decomposed: read.use_dora ?? false,
          rankPattern: read.rank_pattern ?? {},
          alphaPattern: read.alpha_pattern ?? {},
          biases: BIASES[read.bias ?? "none"]
        })
      )
    ),
  IA3: (fields, common) =>
    Effect.flatMap(Schema.decodeUnknownEffect(Ia3)(fields), ({ feedforward_modules: feedforward }) =>
      made(() => ia3({ ...selected(common), feedforward: feedforward ?? [] }))
    ),
  VERA: (fields, common) =>
    Effect.flatMap(Schema.decodeUnknownEffect(Vera)(fields), ({ d_initial, r, vera_dropout }) =>
      made(() => vera({ ...selected(common), rank: r, dropout: vera_dropout ?? 0, dInitial: d_initial ?? 0.1 }))
    ),
  PROMPT_TUNING: (fields, common) => virtualTokens(fields, common, promptTuning),
  PREFIX_TUNING: (fields, common) => virtualTokens(fields, common, prefixTuning),
  BITFIT: (_, common) => made(() => bitFit({ trainedModules: trainedModules(common) }))
}

/** An adapter as its folder tells of it. */
export interface StoredMethod {
  readonly method: AdapterMethod
  /** All that adapter_config.json says. */
  readonly fields: Fields
}

export const isAdapterFolder = (folder: string): boolean => existsSync(join(folder, CONFIG_FILE))

/**
 * The adapter that a folder's `adapter_config.json` tells of.
 *
 * @param config of the model that it is for, which says what parameters that hold several layers are made of
 */
export const readMethod = Effect.fn("readMethod")(function* (
  folder: string,
  config?: DecoderConfig
): Effect.fn.Return<StoredMethod, AdapterInvalid> {
  const file = join(folder, CONFIG_FILE)
  const invalid = (reason: string) => new AdapterInvalid({ file, reason })
  const told = yield* readFields(folder, file, invalid)
  const fields = (config && splitTargets(told, config)) ?? told
  const common = yield* Effect.mapError(Schema.decodeUnknownEffect(Shared)(fields), ({ message }) => invalid(message))
  const reader = readers[common.peft_type]
  if (reader === undefined) {
    return yield* invalid(`peft_type ${common.peft_type} is not known here; known: ${Object.keys(readers).join(", ")}`)
  }
  yield* refuseUnread(fields, invalid)
  const method = yield* Effect.mapError(reader(fields, common), ({ message }) => invalid(message))
  return { method, fields: told }
})

type Invalid = (reason: string) => AdapterInvalid

const readFields = Effect.fnUntraced(function* (folder: string, file: string, invalid: Invalid) {
  if (!existsSync(file)) {
    const reason = existsSync(folder) ? `there is no adapter here: it has no ${CONFIG_FILE}` : "there is no such folder"
    return yield* new AdapterInvalid({ file: folder, reason })
  }
  const text = yield* Effect.tryPromise({ try: () => readFile(file, "utf8"), catch: (cause) => invalid(String(cause)) })
  const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown)))
  return yield* Effect.mapError(decode(text), () => invalid("is not a JSON object"))
})

const refuseUnread = Effect.fnUntraced(function* (fields: Fields, invalid: Invalid) {
  const unread = UNREAD.find((field) => isOn(fields[field]))
  if (unread !== undefined) return yield* invalid(`${unread} ${JSON.stringify(fields[unread])} is not supported`)
  const init = fields["init_lora_weights"]
  if (typeof init === "string" && MOVES_BASE.test(init)) {
    return yield* invalid(
      `init_lora_weights "${init}" changes the base model; save it with PEFT's path_initial_model_for_weight_conversion, ` +
        "which makes a plain LoRA adapter of it"
    )
  }
})

const isOn = (value: unknown): boolean =>
  value != null && value !== false && !(typeof value === "object" && Object.keys(value).length === 0)
