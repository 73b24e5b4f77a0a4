import { Effect, Schema } from "effect"
import { join } from "node:path"
import type { DecoderConfig, JsonObject } from "../config/decoder-config.ts"
import type { ParameterSpec } from "../decoder/parameter.ts"
import { ConfigInvalid, UnsupportedModel } from "../errors.ts"

/** Which hidden state of a row is scored: its last token's, or the mean over its tokens. */
export type Pooling = "last" | "mean"

/** What sits on a decoder that gives numbers: a matrix [K, D] without bias, as in transformers' sequence classifiers. */
export interface Head {
  /** Names of the K scores, in their order. */
  readonly attributes: ReadonlyArray<string>
  readonly pooling: Pooling
}

/** transformers' name for the matrix of a sequence classifier. */
export const HEAD_WEIGHT = "score.weight"

/** The one attribute of a head whose folder does not name it. */
export const REWARD = "reward"

export const headParameter = ({ width }: DecoderConfig, { attributes }: Head): ParameterSpec => ({
  name: HEAD_WEIGHT,
  shape: [attributes.length, width],
  initial: "normal"
})

/** The config of a decoder with this head: what transformers opens as a sequence classifier. */
export const withHead = (config: DecoderConfig, { attributes, pooling }: Head, padId?: number): DecoderConfig => {
  const source: JsonObject = {
    ...config.source,
    architectures: [config.family.architecture.replace(/ForCausalLM$/, "ForSequenceClassification")],
    id2label: Object.fromEntries(attributes.map((name, i) => [i, name])),
    label2id: Object.fromEntries(attributes.map((name, i) => [name, i])),
    problem_type: "regression",
    // ModernBERT's field: transformers' decoders know the last token alone, and ignore it
    ...(pooling === "mean" ? { classifier_pooling: "mean" } : {}),
    ...padding(config.source, padId)
  }
  return { ...config, source }
}

/** transformers finds a row's last token by the padding it must not be, so an end of text is none. */
const padding = ({ eos_token_id: eos, pad_token_id: known }: JsonObject, padId: number | undefined): JsonObject =>
  known != null || padId === undefined || [eos].flat().includes(padId) ? {} : { pad_token_id: padId }

const Labels = Schema.Struct({
  id2label: Schema.optionalKey(Schema.NullOr(Schema.Record(Schema.String, Schema.String))),
  classifier_pooling: Schema.optionalKey(Schema.NullOr(Schema.String))
})

/** The head that config.json tells of, which has `count` scores. */
export const headOf = Effect.fnUntraced(function* (
  folder: string,
  { source }: DecoderConfig,
  count: number
): Effect.fn.Return<Head, ConfigInvalid | UnsupportedModel> {
  const file = join(folder, "config.json")
  const labels = yield* Schema.decodeUnknownEffect(Labels)(source).pipe(
    Effect.mapError(
      () => new ConfigInvalid({ file, field: "id2label", reason: "is not an object of names, or pooling is no text" })
    )
  )
  const pooling = labels.classifier_pooling ?? "last"
  if (pooling !== "last" && pooling !== "mean") {
    return yield* new UnsupportedModel({
      folder,
      field: "classifier_pooling",
      value: pooling,
      supported: ["last", "mean"]
    })
  }
  const names = Array.from({ length: count }, (_, i) => labels.id2label?.[i] ?? `LABEL_${i}`)
  const listed = Object.keys(labels.id2label ?? {}).length
  if (listed > 0 && listed !== count) {
    const reason = `names ${listed} labels, and ${HEAD_WEIGHT} has ${count}`
    return yield* new ConfigInvalid({ file, field: "id2label", reason })
  }
  return { attributes: count === 1 && names[0] === "LABEL_0" ? [REWARD] : names, pooling }
})
