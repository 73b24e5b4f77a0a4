import { type SamplingOptions, samplingOptions } from "@plumbline/rollout-generation"
import { Effect } from "effect"
import { randomInt } from "node:crypto"
import { badField, type RequestRefused } from "../shell/request-refused.ts"
import type { SamplingRequest } from "./fields.ts"
import type { ServedModel } from "./served-model.ts"

/** The smallest share that keeps a token: OpenAI allows a `top_p` of 0, which keeps the most likely one. */
const TOP_ONE = Number.MIN_VALUE

/** The Generator's options for a request. @param maxNewTokens what the request, its kind or the context allows */
export const samplingOf = (
  { endTokens, generator, tokenizer }: ServedModel,
  request: SamplingRequest,
  maxNewTokens: number
): Effect.Effect<SamplingOptions, RequestRefused> =>
  Effect.gen(function* () {
    const { vocabulary } = generator.limits
    const ended = request.ignore_eos === true ? [] : [...tokenizer.stopIds, ...endTokens]
    yield* checkIds("stop_token_ids", request.stop_token_ids ?? [], vocabulary)
    yield* checkIds("allowed_token_ids", request.allowed_token_ids ?? [], vocabulary)
    yield* checkIds("logit_bias", Object.keys(request.logit_bias ?? {}).map(tokenId), vocabulary)
    if ((request.min_tokens ?? 0) > maxNewTokens) {
      return yield* badField("min_tokens", `is above the ${maxNewTokens} tokens that the response may have`)
    }
    return samplingOptions({
      maxNewTokens,
      minNewTokens: request.min_tokens ?? 0,
      temperature: request.temperature ?? 1,
      topK: Math.max(0, request.top_k ?? 0),
      topP: Math.max(TOP_ONE, request.top_p ?? 1),
      minP: request.min_p ?? 0,
      repetitionPenalty: request.repetition_penalty ?? 1,
      presencePenalty: request.presence_penalty ?? 0,
      frequencyPenalty: request.frequency_penalty ?? 0,
      logitBias: request.logit_bias ?? {},
      ...(request.allowed_token_ids === undefined ? {} : { allowedTokens: request.allowed_token_ids }),
      stopIds: [...new Set([...ended, ...(request.stop_token_ids ?? [])])],
      stopStrings: request.stop === undefined ? [] : [request.stop].flat()
    })
  })

const tokenId = (text: string): number => (/^\d{1,10}$/.test(text) ? Number(text) : -1)

/** Fails on the first id that the model does not know. */
export const checkIds = (param: string, ids: ArrayLike<number>, vocabulary: number) => {
  const unknown = Array.prototype.findIndex.call(ids, (id: number) => id < 0 || id >= vocabulary)
  return unknown < 0
    ? Effect.void
    : Effect.fail(badField(param, `has an id outside the vocabulary of ${vocabulary} tokens, at place ${unknown}`))
}

/** Fails where a request asks for more responses than are made at once; to be asked before its prompts are tokenized. */
export const checkResponses = (responses: number, maxResponses: number): Effect.Effect<void, RequestRefused> => {
  if (responses <= maxResponses) return Effect.void
  const reason = `the request asks for ${responses} responses; at most ${maxResponses} are made at once`
  return Effect.fail(badField("n", reason))
}

/**
 * The seed of a request; one that nobody chose when it names none. Negative ones and those of 64 bits, which OpenAI allows,
 * wrap around within the whole numbers that are exact here.
 */
export const seedOf = ({ seed }: SamplingRequest): number =>
  seed === undefined ? randomInt(2 ** 47) : Number(BigInt.asUintN(53, BigInt(seed)))
