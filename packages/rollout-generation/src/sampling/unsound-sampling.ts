import { Result, Schema, SchemaIssue } from "effect"
import { samplingFields } from "./options.ts"

/** What is wrong with sampling options that `samplingOptions` did not make, or that were changed after it. */
export interface UnsoundSampling {
  /** Of the options, or `sampling` where they are none at all. */
  readonly field: string
  readonly reason: string
}

// ids and biases may be as many as the vocabulary: they are looked at once, with it
const { allowedTokens: _allowed, logitBias: _biases, stopIds: _stops, ...fields } = samplingFields

const Short = Schema.Struct({
  ...fields,
  allowedTokens: Schema.optional(Schema.Unknown),
  logitBias: Schema.Unknown,
  stopIds: Schema.Unknown
})

/** @returns the first fault of options that may be anything, token ids and biases apart; undefined where there is none */
export const unsoundSampling = (sampling: unknown): UnsoundSampling | undefined => {
  const decoded = decode(sampling)
  if (Result.isSuccess(decoded)) return undefined
  const [issue] = format(decoded.failure.issue).issues
  const [field = "sampling", ...within] = (issue!.path ?? []).map(String)
  const at = within.length === 0 ? "" : ` at ${within.join(".")}`
  return { field, reason: `is not what it should be${at}: ${issue!.message}` }
}

const decode = Schema.decodeUnknownResult(Schema.toType(Short), { onExcessProperty: "error" })

const format = SchemaIssue.makeFormatterStandardSchemaV1()
