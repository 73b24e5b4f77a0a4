import { Effect } from "effect"
import { join } from "node:path"
import { ConfigInvalid, UnsupportedModel } from "../errors.ts"
import type { Family } from "../families/family.ts"
import { FULL, SLIDING } from "../families/windows.ts"
import { ConfigSchema, type FullConfig } from "./config-schema.ts"
import type { DecoderConfig, JsonObject } from "./decoder-config.ts"
import { decodeFields } from "./decode-fields.ts"
import { decodeMlps } from "./decode-mlps.ts"
import { type Rope, RopeParameters, ropeTypes } from "./rope.ts"

/**
 * What a config.json describes. Reads transformers 5's layout (`rope_parameters`) and the one before
 * (`rope_theta`, `rope_scaling`); absent fields get the family's defaults.
 *
 * @param folder for error messages
 */
export const decodeConfig = Effect.fn("decodeConfig")(function* (
  folder: string,
  source: JsonObject,
  families: ReadonlyArray<Family>
): Effect.fn.Return<DecoderConfig, ConfigInvalid | UnsupportedModel> {
  const fields = yield* decodeFields(configFile(folder), "", ConfigSchema, source)
  const family = families.find(({ modelType }) => modelType === fields.model_type)
  if (family === undefined) {
    const supported = families.map(({ modelType }) => modelType)
    return yield* new UnsupportedModel({ folder, field: "model_type", value: fields.model_type, supported })
  }
  const config: FullConfig = { ...family.defaults, ...fields }
  yield* refuse(folder, config, family)
  const heads = config.num_attention_heads
  const keyValueHeads = config.num_key_value_heads ?? heads
  const headWidth = config.head_dim ?? Math.floor(config.hidden_size / heads)
  if (heads % keyValueHeads !== 0) {
    const reason = `${keyValueHeads} key heads do not divide ${heads} query heads`
    return yield* new ConfigInvalid({ file: configFile(folder), field: "num_key_value_heads", reason })
  }
  return {
    family,
    vocabulary: config.vocab_size,
    width: config.hidden_size,
    layers: config.num_hidden_layers,
    heads,
    keyValueHeads,
    headWidth,
    mlpWidth: config.intermediate_size,
    maxPositions: config.max_position_embeddings,
    mlps: yield* decodeMlps(folder, config, family),
    normEpsilon: config[family.epsilonField]!,
    rope: yield* decodeRope(folder, config, family, headWidth),
    windows: family.windows(config),
    biases: family.biases(config),
    tiedEmbeddings: config.tie_word_embeddings,
    ...(config.output_router_logits === true ? { balance: config.router_aux_loss_coef ?? 0.001 } : {}),
    initializerRange: config.initializer_range,
    source
  }
})

const configFile = (folder: string): string => join(folder, "config.json")

/** Fails on what config.json asks for and the blocks do not do. */
const refuse = Effect.fnUntraced(function* (folder: string, config: FullConfig, family: Family) {
  const unsupported = (field: string, value: unknown, supported: ReadonlyArray<string>) =>
    new UnsupportedModel({ folder, field, value: typeof value === "string" ? value : JSON.stringify(value), supported })
  if (config.quantization_config != null) {
    return yield* unsupported("quantization_config", config.quantization_config, ["unquantized weights"])
  }
  if (!Object.hasOwn(family.mlps, config.hidden_act)) {
    return yield* unsupported("hidden_act", config.hidden_act, Object.keys(family.mlps))
  }
  if ((config.attention_dropout ?? 0) !== 0) {
    return yield* unsupported("attention_dropout", config.attention_dropout, ["0"])
  }
  if ((config.router_jitter_noise ?? 0) !== 0) {
    return yield* unsupported("router_jitter_noise", config.router_jitter_noise, ["0"])
  }
  yield* refuseLayerTypes(folder, config, family)
})

const refuseLayerTypes = Effect.fnUntraced(function* (folder: string, config: FullConfig, family: Family) {
  const types = config.layer_types
  if (types == null) return
  const invalid = (field: string, reason: string) => new ConfigInvalid({ file: configFile(folder), field, reason })
  const other = types.find((type) => type !== FULL && type !== SLIDING)
  if (other !== undefined) {
    return yield* new UnsupportedModel({ folder, field: "layer_types", value: other, supported: [FULL, SLIDING] })
  }
  if (types.length !== config.num_hidden_layers) {
    return yield* invalid("layer_types", `${types.length} entries for ${config.num_hidden_layers} layers`)
  }
  const windows = family.windows(config)
  const differing = types.findIndex((type, layer) => (type === SLIDING) !== (windows[layer] !== undefined))
  if (differing !== -1) {
    const computed = windows[differing] === undefined ? FULL : SLIDING
    const reason = `layer ${differing} is ${types[differing]}, but sliding_window and the family give it ${computed}`
    return yield* invalid("layer_types", reason)
  }
})

/** Both layouts of the rotary parameters, standardised in transformers' order of precedence. */
const decodeRope = Effect.fnUntraced(function* (
  folder: string,
  config: FullConfig,
  family: Family,
  headWidth: number
): Effect.fn.Return<Rope, ConfigInvalid | UnsupportedModel> {
  const scaling = config.rope_scaling != null && Object.keys(config.rope_scaling).length > 0
  const field = scaling ? "rope_scaling" : "rope_parameters"
  const given = (scaling ? config.rope_scaling : config.rope_parameters) ?? {}
  const parameters = yield* decodeFields(configFile(folder), field, RopeParameters, {
    ...given,
    rope_type: given["rope_type"] ?? given["type"] ?? "default",
    rope_theta: given["rope_theta"] ?? config.rope_theta ?? 10_000,
    partial_rotary_factor: given["partial_rotary_factor"] ?? config.partial_rotary_factor ?? null,
    original_max_position_embeddings:
      config.original_max_position_embeddings ?? given["original_max_position_embeddings"] ?? null
  })
  const unsupported = (name: string, value: string, supported: ReadonlyArray<string>) =>
    new UnsupportedModel({ folder, field: `${field}.${name}`, value, supported })
  const nested = Object.keys(given).find((key) => key === FULL || key === SLIDING)
  if (nested !== undefined)
    return yield* unsupported(nested, "per layer type", ["one set of parameters for all layers"])
  if (!Object.hasOwn(ropeTypes, parameters.rope_type)) {
    return yield* unsupported("rope_type", parameters.rope_type, Object.keys(ropeTypes))
  }
  const type = ropeTypes[parameters.rope_type]!
  const absent = type.required.find((name) => parameters[name] == null)
  if (absent !== undefined) {
    return yield* new ConfigInvalid({
      file: configFile(folder),
      field: `${field}.${absent}`,
      reason: `${parameters.rope_type} needs it`
    })
  }
  const fraction = parameters.partial_rotary_factor ?? 1
  if (fraction !== 1 && !family.partialRotary) return yield* unsupported("partial_rotary_factor", `${fraction}`, ["1"])
  const rotated = Math.floor(headWidth * fraction)
  yield* refuseOdd(folder, rotated, headWidth, parameters.rope_type)
  return type.rope(parameters, rotated, config.max_position_embeddings)
})

/** Features turn in pairs: an odd number of them takes one more of the head along, which transformers' YaRN does not. */
const refuseOdd = Effect.fnUntraced(function* (folder: string, rotated: number, headWidth: number, type: string) {
  if (headWidth >= 1 && (rotated % 2 === 0 || (rotated < headWidth && type !== "yarn"))) return
  const few = headWidth < 1 ? "a head has no feature" : `${rotated} of ${headWidth} features of a head turn, in pairs`
  return yield* new ConfigInvalid({ file: configFile(folder), field: "head_dim", reason: few })
})
