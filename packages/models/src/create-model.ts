import { philoxStream, tf } from "@plumbline/runtime"
import { Effect, Result } from "effect"
import { causalLM } from "./causal-lm.ts"
import { decodeConfig } from "./config/decode-config.ts"
import type { DecoderConfig, JsonObject } from "./config/decoder-config.ts"
import { causalParameters } from "./decoder/parameter-table.ts"
import { ConfigInvalid } from "./errors.ts"
import type { Family } from "./families/family.ts"
import { initialValues } from "./initial-values.ts"
import type { CausalLM } from "./model.ts"
import { parameterStore } from "./parameter-store.ts"

/** A decoder as a table of numbers. */
export interface DecoderTable {
  readonly family: Family
  readonly vocabulary: number
  readonly width: number
  readonly layers: number
  readonly heads: number
  /** `heads` when absent. */
  readonly keyValueHeads?: number
  /** width / heads when absent. */
  readonly headWidth?: number
  readonly mlpWidth: number
  /** Context, tokens. */
  readonly maxPositions: number
  /** The output matrix is the embedding matrix; false when absent. */
  readonly tiedEmbeddings?: boolean
  /** Further fields of config.json, e.g. `eos_token_id`, `rope_parameters`, `sliding_window`. */
  readonly settings?: JsonObject
}

export interface CreateModelOptions {
  /** "policy" when absent. */
  readonly name?: string
  /** true when absent. */
  readonly trainable?: boolean
}

/**
 * A new model: matrices N(0, initializer_range²), norms 1, biases 0, as in transformers. Each parameter has its own
 * random stream, named after it, so its values depend on nothing but `seed` and the name.
 *
 * Throws ConfigInvalid or UnsupportedModel for numbers that make no model.
 */
export const createModel = (
  table: DecoderTable,
  seed: number,
  { name = "policy", trainable = true }: CreateModelOptions = {}
): CausalLM => {
  const config = decoderConfig(table)
  const store = parameterStore(name, trainable)
  for (const spec of causalParameters(config)) {
    store.add(
      spec.name,
      tf.tensor(initialValues(spec, config.initializerRange, philoxStream(seed, spec.name)), [...spec.shape])
    )
  }
  return causalLM({ name, config, parameters: store.parameters, variables: store.variables(), dispose: store.dispose })
}

/** Where other models have a folder. */
const NEW_MODEL = "<new model>"

/** What `createModel` builds from the table, e.g. to count its parameters. Throws as it does. */
export const decoderConfig = (table: DecoderTable): DecoderConfig => {
  const { family, headWidth, heads, width } = table
  const { rope_theta = 10_000, ...defaults } = family.defaults
  const source: JsonObject = {
    architectures: [family.architecture],
    ...defaults,
    model_type: family.modelType,
    vocab_size: table.vocabulary,
    hidden_size: width,
    num_hidden_layers: table.layers,
    num_attention_heads: heads,
    num_key_value_heads: table.keyValueHeads ?? heads,
    head_dim: headWidth ?? Math.floor(width / heads),
    intermediate_size: table.mlpWidth,
    max_position_embeddings: table.maxPositions,
    tie_word_embeddings: table.tiedEmbeddings ?? false,
    rope_parameters: { rope_type: "default", rope_theta },
    dtype: "float32",
    ...table.settings
  }
  const config = Result.getOrThrow(Effect.runSync(Effect.result(decodeConfig(NEW_MODEL, source, [family]))))
  if (headWidth === undefined && width % heads !== 0) {
    const reason = `${heads} heads do not divide a width of ${width}`
    throw new ConfigInvalid({ file: NEW_MODEL, field: "num_attention_heads", reason })
  }
  return config
}
