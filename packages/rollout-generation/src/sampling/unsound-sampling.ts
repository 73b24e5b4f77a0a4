import { Result, Schema, SchemaIssue } from "effect"
import { SamplingOptions } from "./options.ts"

/** What is wrong with sampling options that `samplingOptions` did not make, or that were changed after it. */
export interface UnsoundSampling {
  /** Of the options, or `sampling` where they are none at all. */
  readonly field: string
  readonly reason: string
}

/** @returns the first fault of options that may be anything; undefined where there is none */
export const unsoundSampling = (sampling: unknown): UnsoundSampling | undefined => {
  if (sound.has(sampling as SamplingOptions)) return undefined
  const decoded = decode(sampling)
  if (Result.isSuccess(decoded)) return void sound.add(sampling as SamplingOptions)
  const [issue] = format(decoded.failure.issue).issues
  const [field = "sampling", ...within] = (issue!.path ?? []).map(String)
  const at = within.length === 0 ? "" : ` at ${within.join(".")}`
  return { field, reason: `is not what it should be${at}: ${issue!.message}` }
}

const decode = Schema.decodeUnknownResult(Schema.toType(SamplingOptions), { onExcessProperty: "error" })

const format = SchemaIssue.makeFormatterStandardSchemaV1()

/** Without a fault: requests of a batch share them, and lists of allowed tokens may be as long as the vocabulary. */
const sound = new WeakSet<SamplingOptions>()
