import { Schema } from "effect"
import type { TokenLogProb } from "../request.ts"

const Numbers = Schema.Array(Schema.NullOr(Schema.Number))
const Ids = Schema.Array(Schema.Int)
const optional = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

const LogProbs = Schema.Struct({
  tokens: optional(Schema.Array(Schema.String)),
  token_logprobs: optional(Numbers),
  top_logprobs: optional(Schema.Array(Schema.NullOr(Schema.Record(Schema.String, Schema.Number))))
})

/** A choice of a completion, or a part of one, as vLLM, SGLang, TensorRT-LLM and `plumb serve` write it. */
export const Choice = Schema.Struct({
  index: Schema.Int,
  text: optional(Schema.String),
  logprobs: optional(LogProbs),
  finish_reason: optional(Schema.String),
  // what stopped it: vLLM and ours, SGLang
  stop_reason: optional(Schema.Union([Schema.String, Schema.Int])),
  matched_stop: optional(Schema.Union([Schema.String, Schema.Int])),
  token_ids: optional(Ids),
  prompt_token_ids: optional(Ids),
  // ours
  sampling_logprobs: optional(Numbers),
  policy_logprobs: optional(Numbers),
  policy_versions: optional(Ids)
})
export type Choice = typeof Choice.Type

/** A whole answer, or an event of a streamed one. */
export const Completion = Schema.Struct({
  choices: Schema.Array(Choice),
  system_fingerprint: optional(Schema.String),
  metadata: optional(Schema.Struct({ weight_version: optional(Schema.Unknown) }))
})
export type Completion = typeof Completion.Type

/** The version of the weights, where an answer names it: ours in the fingerprint, SGLang's in the metadata. */
export const versionOf = ({ metadata, system_fingerprint: fingerprint }: Completion): number | undefined => {
  const named = /^plumbline-v(\d+)$/.exec(fingerprint ?? "")?.[1] ?? metadata?.weight_version
  // SGLang has texts, "default" to begin with
  const version = typeof named === "string" && /^\d+$/.test(named) ? Number(named) : named
  return typeof version === "number" && Number.isSafeInteger(version) && version >= 0 ? version : undefined
}

/** `token_id:42`, which servers write for a token when asked to. */
const idOf = (text: string): number | undefined => {
  const id = /^token_id:(\d+)$/.exec(text)?.[1]
  return id === undefined ? undefined : Number(id)
}

/** Token ids of a choice; undefined where the server did not say them. @param skip tokens of an echoed prompt */
export const tokenIdsOf = ({ logprobs, token_ids: ids }: Choice, skip: number): ReadonlyArray<number> | undefined => {
  if (ids !== undefined && ids !== null) return ids
  const named = logprobs?.tokens?.slice(skip).map(idOf)
  return named?.every((id) => id !== undefined) === true ? named : undefined
}

/** The `count` likeliest tokens by falling log-prob; undefined where a server names them by text. */
export const topOf = (
  named: Readonly<Record<string, number>>,
  count: number
): ReadonlyArray<TokenLogProb> | undefined => {
  const top = Object.entries(named).map(([text, logProb]) => ({ id: idOf(text), logProb }))
  if (!top.every((one): one is TokenLogProb => one.id !== undefined)) return undefined
  return top.toSorted((a, b) => b.logProb - a.logProb || a.id - b.id).slice(0, count)
}
