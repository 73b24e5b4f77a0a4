import { roomOf } from "../request-limits.ts"
import type { GenerationRequest } from "../request.ts"
import type { SamplingOptions } from "../sampling/options.ts"
import { type KnownServer, TOKEN_ID_FIELDS } from "./options.ts"

/**
 * What is off is said to be: what a request leaves out is the server's default, which vLLM reads from the model's
 * `generation_config.json`.
 */
const OFF = { top_k: -1, min_p: 0, repetition_penalty: 1, presence_penalty: 0, frequency_penalty: 0 } as const

/** The body of `/completions` for a request. Other fields beyond OpenAI's are there only where they change something. */
export const completionBody = (
  request: GenerationRequest,
  model: string,
  { contextTokens, tokenIdFields = TOKEN_ID_FIELDS }: KnownServer
): Readonly<Record<string, unknown>> => {
  const room = roomOf(request, contextTokens)
  const { promptIds, promptLogProbs = false, samples = 1, sampling, seed, topLogProbs = 0 } = request
  return {
    model,
    prompt: [...promptIds],
    n: samples,
    seed,
    // servers refuse what would not fit; the engine of this process ends with the context
    max_tokens: room,
    logprobs: topLogProbs,
    temperature: sampling.temperature,
    top_p: sampling.topP,
    ...OFF,
    ...tokenIdFields,
    ...(promptLogProbs ? { echo: true } : {}),
    // servers look for stop strings in the text that they return
    ...(request.stopInSpecialTokens === true ? { skip_special_tokens: false } : {}),
    ...changes({ ...sampling, minNewTokens: Math.min(sampling.minNewTokens, room) }),
    ...stops(sampling)
  }
}

const changes = (sampling: SamplingOptions) => ({
  ...(sampling.topK > 0 ? { top_k: sampling.topK } : {}),
  ...(sampling.minP > 0 ? { min_p: sampling.minP } : {}),
  ...(sampling.repetitionPenalty === 1 ? {} : { repetition_penalty: sampling.repetitionPenalty }),
  ...(sampling.presencePenalty === 0 ? {} : { presence_penalty: sampling.presencePenalty }),
  ...(sampling.frequencyPenalty === 0 ? {} : { frequency_penalty: sampling.frequencyPenalty }),
  ...(Object.keys(sampling.logitBias).length === 0 ? {} : { logit_bias: sampling.logitBias }),
  ...(sampling.allowedTokens === undefined ? {} : { allowed_token_ids: sampling.allowedTokens }),
  ...(sampling.minNewTokens > 0 ? { min_tokens: sampling.minNewTokens } : {})
})

/** A server ends at its EOS by itself; a request without stop tokens must not end there. */
const stops = ({ stopIds, stopStrings }: SamplingOptions) => ({
  ...(stopIds.length > 0 ? { stop_token_ids: stopIds } : { ignore_eos: true }),
  ...(stopStrings.length > 0 ? { stop: stopStrings } : {})
})

/** Whether a token is drawn from the policy as it is, so that both of its log-probs are one. */
const isPlain = ({ minNewTokens, stopIds, ...sampling }: SamplingOptions): boolean =>
  sampling.temperature === 1 &&
  sampling.topK === 0 &&
  sampling.topP === 1 &&
  (minNewTokens === 0 || stopIds.length === 0) &&
  Object.keys(changes({ ...sampling, minNewTokens: 0, stopIds })).length === 0

/** Which log-probs of a request the server's numbers can stand for. */
export interface KnownLogProbs {
  readonly policy: boolean
  readonly sampling: boolean
  /** Whether those that it does not report may be NaN. */
  readonly unknownAllowed: boolean
}

export const knownLogProbs = (
  { sampling }: GenerationRequest,
  { logProbs, unknownLogProbs = false }: KnownServer
): KnownLogProbs => {
  const both = isPlain(sampling)
  // no server divides by a temperature of 0
  const greedy = sampling.temperature === 0 && isPlain({ ...sampling, temperature: 1 })
  return {
    policy: both || logProbs === "policy" || (logProbs === undefined && greedy),
    sampling: both || logProbs === "sampling",
    unknownAllowed: unknownLogProbs
  }
}
