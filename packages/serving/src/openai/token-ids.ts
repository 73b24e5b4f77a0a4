import type { GeneratedResponse } from "@plumbline/rollout-generation"
import { lazyMap } from "../shell/json-texts.ts"
import type { WrittenToken } from "./choice-writer.ts"

/**
 * What a client needs to learn from a response without tokenizing it again: its ids, the log-prob of each under the
 * distribution it was drawn from and under the policy itself, and the version of the weights that made it.
 */
export const responseTokens = (response: GeneratedResponse) => ({
  token_ids: numbers(response.responseIds),
  sampling_logprobs: numbers(response.samplingLogProbs),
  policy_logprobs: numbers(response.policyLogProbs),
  policy_versions: numbers(response.policyVersions)
})

/** A long list, written number by number. */
export const numbers = (list: Float32Array | Int32Array): Iterable<number> => lazyMap(list, (number) => number)

/** The same of the tokens in a part of a stream. */
export const partTokens = (tokens: ReadonlyArray<WrittenToken>) => ({
  token_ids: tokens.map(({ id }) => id),
  sampling_logprobs: tokens.map(({ samplingLogProb }) => samplingLogProb),
  policy_logprobs: tokens.map(({ logProb }) => logProb),
  policy_versions: tokens.map(({ policyVersion }) => policyVersion)
})

/** `finish_reason`, and what stopped it: a token id or a stop string. */
export const ending = ({ finishReason, stop }: GeneratedResponse) => ({
  finish_reason: finishReason,
  stop_reason: stop === undefined ? null : stop.kind === "id" ? stop.id : stop.text
})
