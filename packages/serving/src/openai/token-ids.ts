import type { GeneratedResponse } from "@plumbline/rollout-generation"
import type { ScoredToken } from "./log-probs.ts"

/**
 * What a client needs to learn from a response without tokenizing it again: its ids, the log-prob of each under the
 * distribution it was drawn from and under the policy itself, and the version of the weights that made it.
 */
export const responseTokens = (response: GeneratedResponse) => ({
  token_ids: [...response.responseIds],
  sampling_logprobs: [...response.samplingLogProbs],
  policy_logprobs: [...response.policyLogProbs],
  policy_versions: [...response.policyVersions]
})

/** The same in a stream: ids as they come, the rest with the last part. */
export const partTokens = (tokens: ReadonlyArray<ScoredToken>, finished: GeneratedResponse | undefined) => ({
  ...(finished === undefined ? {} : responseTokens(finished)),
  token_ids: tokens.map(({ id }) => id)
})

/** `finish_reason`, and what stopped it: a token id or a stop string. */
export const ending = ({ finishReason, stop }: GeneratedResponse) => ({
  finish_reason: finishReason,
  stop_reason: stop === undefined ? null : stop.kind === "id" ? stop.id : stop.text
})
