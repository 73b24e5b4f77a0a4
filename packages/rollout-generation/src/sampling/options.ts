import { NonNegative, NonNegativeInt, option, optional } from "@plumbline/data"
import { Result, Schema } from "effect"

const TokenId = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 31 - 1 }))
/** A share in (0, 1]. */
const Mass = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1, exclusiveMinimum: true }))
/** A share in [0, 1]. */
const Fraction = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))
const Factor = Schema.Finite.check(Schema.isGreaterThan(0))
const BIASED = /^\d{1,10}$/
/** Added to logits, by token id. A filter over all keys: as their schema, it would call others unknown fields. */
const Biases = Schema.Record(Schema.String, Schema.Finite).check(
  Schema.makeFilter(
    (biases: Readonly<Record<string, number>>) => {
      const other = Object.keys(biases).find((key) => !BIASED.test(key))
      return other === undefined || `expected token ids for keys, and ${JSON.stringify(other)} is none`
    },
    { toJsonSchema: () => ({ propertyNames: { pattern: BIASED.source } }) }
  )
)
const NonEmptyTokens = Schema.Array(TokenId).check(Schema.isMinLength(1))

/**
 * How the next token is drawn, in the order in which it happens: the logits are changed by the repetition penalty, the
 * presence and frequency penalties and the bias; tokens that are not allowed leave; then temperature, top-k, top-p of
 * what top-k kept, min-p.
 */
export const samplingFields = {
  maxNewTokens: option(NonNegativeInt, 128, "most tokens of a response"),
  minNewTokens: option(NonNegativeInt, 0, "no stop token and no stop string before this many tokens"),
  temperature: option(NonNegative, 1, "divides the logits; 0 takes the most likely token"),
  topK: option(NonNegativeInt, 0, "only this many most likely tokens; 0 = all"),
  topP: option(Mass, 1, "only the most likely tokens whose probabilities reach this; 1 = all"),
  minP: option(Fraction, 0, "only tokens at least this share as likely as the most likely one; 0 = all"),
  repetitionPenalty: option(
    Factor,
    1,
    "divides positive and multiplies negative logits of tokens of the prompt and the response; 1 = off"
  ),
  presencePenalty: option(Schema.Finite, 0, "taken from the logits of tokens that the response has"),
  frequencyPenalty: option(Schema.Finite, 0, "taken from a token's logit once for each time the response has it"),
  logitBias: option(Biases, {}, 'added to the logits of tokens, by id: {"50": -2}'),
  allowedTokens: optional(NonEmptyTokens, "only these token ids; all where absent"),
  stopIds: option(Schema.Array(TokenId), [], "token ids that end a response; they are part of it"),
  stopStrings: option(
    Schema.Array(Schema.NonEmptyString),
    [],
    "texts that end a response, wherever token borders lie; the tokens through their end are part of it. The text of a special token is that token"
  )
} as const

export const SamplingOptions = Schema.Struct(samplingFields)
export type SamplingOptions = typeof SamplingOptions.Type

const decode = Schema.decodeUnknownResult(SamplingOptions, { onExcessProperty: "error", errors: "all" })

/** Sampling options of a program: what is left out has its default. Throws a SchemaError; see `SamplingOptions` for the rest. */
export const samplingOptions = (given: Partial<typeof SamplingOptions.Encoded> = {}): SamplingOptions =>
  Result.getOrThrowWith(decode(given), (error) => {
    // Effect's has none, and nobody could tell whose call it was
    Error.captureStackTrace(error)
    return error
  })
