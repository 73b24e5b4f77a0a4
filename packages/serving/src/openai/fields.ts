import { Schema } from "effect"
import { isObject, type Refusals } from "./decode-request.ts"

const optional = Schema.optionalKey
const between = (minimum: number, maximum: number) => Schema.Finite.check(Schema.isBetween({ minimum, maximum }))
const intBetween = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const AtLeastZero = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const StopTexts = Schema.Array(Schema.NonEmptyString).check(Schema.isMaxLength(16))

/** A whole number of 64 bits; those beyond 2⁵³ as JSON reads them here, to the nearest that a double holds. */
const Seed = between(-(2 ** 63), 2 ** 63).check(
  Schema.makeFilter((seed: number) => Number.isInteger(seed) || "expected an integer")
)

/** Responses to a prompt; OpenAI's limit. */
const MOST_SAMPLES = 128
/** Alternatives at a position; OpenAI's limit for chats. */
export const MOST_TOP_LOG_PROBS = 20

/** How tokens are drawn: OpenAI's fields, then those that vLLM and SGLang have beyond them. */
const samplingFields = {
  temperature: optional(between(0, 2)),
  top_p: optional(between(0, 1)),
  n: optional(intBetween(1, MOST_SAMPLES)),
  seed: optional(Seed),
  stop: optional(Schema.Union([Schema.NonEmptyString, StopTexts])),
  presence_penalty: optional(between(-2, 2)),
  frequency_penalty: optional(between(-2, 2)),
  // what may be long is read in loops of its own, with the vocabulary at hand
  logit_bias: optional(Schema.Unknown),
  top_k: optional(Schema.Int.check(Schema.isGreaterThanOrEqualTo(-1))),
  min_p: optional(between(0, 1)),
  repetition_penalty: optional(Schema.Finite.check(Schema.isGreaterThan(0))),
  min_tokens: optional(AtLeastZero),
  stop_token_ids: optional(Schema.Unknown),
  ignore_eos: optional(Schema.Boolean),
  allowed_token_ids: optional(Schema.Unknown)
} as const

/** How the answer is written. */
const answerFields = {
  stream: optional(Schema.Boolean),
  stream_options: optional(
    Schema.Struct({
      include_usage: optional(Schema.Boolean),
      continuous_usage_stats: optional(Schema.Boolean),
      include_obfuscation: optional(Schema.Boolean)
    })
  ),
  skip_special_tokens: optional(Schema.Boolean),
  return_token_ids: optional(Schema.Boolean),
  return_tokens_as_token_ids: optional(Schema.Boolean)
} as const

/** Fields that vLLM has, at the one value that is what happens here. */
const settledFields = {
  use_beam_search: optional(Schema.Literal(false)),
  length_penalty: optional(Schema.Literal(1)),
  include_stop_str_in_output: optional(Schema.Literal(false)),
  detokenize: optional(Schema.Literal(true)),
  priority: optional(Schema.Literal(0))
} as const

/** Fields that say who asks or how it is billed; read and of no effect here. */
const accountFields = {
  user: optional(Schema.String),
  metadata: optional(Schema.declare(isObject, { expected: "an object" })),
  safety_identifier: optional(Schema.String),
  prompt_cache_key: optional(Schema.String),
  prompt_cache_retention: optional(Schema.String),
  service_tier: optional(Schema.Literals(["auto", "default", "flex", "scale", "priority"])),
  store: optional(Schema.Boolean)
} as const

/** Fields of both kinds of completion. */
export const sharedFields = {
  model: optional(Schema.String),
  ...samplingFields,
  ...answerFields,
  ...settledFields,
  ...accountFields
} as const

export const FREE_TEXT = "answers are free text; check them, or ask for tokens with allowed_token_ids"
const NOT_GUIDED = `is not supported: ${FREE_TEXT}`

/** Fields of vLLM, by its old and its new names, that clients set to have answers of a form. */
export const sharedRefusals: Refusals = {
  structured_outputs: NOT_GUIDED,
  guided_json: NOT_GUIDED,
  guided_regex: NOT_GUIDED,
  guided_choice: NOT_GUIDED,
  guided_grammar: NOT_GUIDED
}

const Shared = Schema.Struct(sharedFields)
export type SharedRequest = typeof Shared.Type

const Sampling = Schema.Struct(samplingFields)
export type SamplingRequest = typeof Sampling.Type
