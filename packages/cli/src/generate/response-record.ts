import type { TokenizerShape } from "@plumbline/data"
import { type GeneratedGroup, type GeneratedResponse, responseText } from "@plumbline/rollout-generation"

/** A response as `plumb generate` writes it; log-probs in nats. */
export const responseRecord = (
  index: number,
  { promptIds, responses }: GeneratedGroup,
  response: GeneratedResponse,
  tokenizer: TokenizerShape
) => ({
  index,
  ...(responses.length > 1 ? { sample: response.sample } : {}),
  prompt_ids: [...promptIds],
  response_ids: [...response.responseIds],
  text: responseText(tokenizer, response),
  logprobs: [...response.policyLogProbs],
  sampling_logprobs: [...response.samplingLogProbs],
  policy_version: [...response.policyVersions],
  finish_reason: response.finishReason
})

/** The text alone; a line parts it from the one before. */
export const responseLine = (index: number, response: GeneratedResponse, tokenizer: TokenizerShape): string => {
  const text = responseText(tokenizer, response)
  return index === 0 && response.sample === 0 ? text : `---\n${text}`
}
