import { type SamplingOptions, samplingOptions } from "@plumbline/rollout-generation"
import { Effect } from "effect"
import { randomInt } from "node:crypto"
import { badField, type RequestRefused } from "../shell/request-refused.ts"
import { isObject } from "./decode-request.ts"
import type { SamplingRequest } from "./fields.ts"
import type { ServedModel } from "./served-model.ts"

/** The smallest share that keeps a token: OpenAI allows a `top_p` of 0, which keeps the most likely one. */
const TOP_ONE = Number.MIN_VALUE

/** The Generator's options for the prompts of a request, by the tokens that a response may have. */
export type SamplingFor = (maxNewTokens: number) => Effect.Effect<SamplingOptions, RequestRefused>

/** Reads how a request samples, once for all its prompts. */
export const samplingOf = (
  { endTokens, generator, tokenizer }: ServedModel,
  request: SamplingRequest
): Effect.Effect<SamplingFor, RequestRefused> =>
  Effect.gen(function* () {
    const { vocabulary } = generator.limits
    const ended = request.ignore_eos === true ? [] : [...tokenizer.stopIds, ...endTokens]
    const stopIds = yield* readIds("stop_token_ids", request.stop_token_ids, vocabulary)
    const allowedTokens = yield* readIds("allowed_token_ids", request.allowed_token_ids, vocabulary)
    if (allowedTokens?.length === 0) return yield* badField("allowed_token_ids", "is an empty list")
    const minNewTokens = request.min_tokens ?? 0
    const shared = samplingOptions({
      maxNewTokens: minNewTokens,
      minNewTokens,
      temperature: request.temperature ?? 1,
      topK: Math.max(0, request.top_k ?? 0),
      topP: Math.max(TOP_ONE, request.top_p ?? 1),
      minP: request.min_p ?? 0,
      repetitionPenalty: request.repetition_penalty ?? 1,
      presencePenalty: request.presence_penalty ?? 0,
      frequencyPenalty: request.frequency_penalty ?? 0,
      logitBias: yield* readBiases(request.logit_bias, vocabulary),
      stopStrings: request.stop === undefined ? [] : [request.stop].flat()
    })
    // read already, and too long to be read twice
    const read = {
      ...shared,
      ...(allowedTokens === undefined ? {} : { allowedTokens }),
      stopIds: [...new Set(ended), ...(stopIds ?? []).filter((id) => !ended.includes(id))]
    }
    return (maxNewTokens) =>
      minNewTokens > maxNewTokens
        ? Effect.fail(badField("min_tokens", `is above the ${maxNewTokens} tokens that the response may have`))
        : Effect.succeed({ ...read, maxNewTokens })
  })

/** Each id once. */
const readIds = (
  param: string,
  given: unknown,
  vocabulary: number
): Effect.Effect<ReadonlyArray<number> | undefined, RequestRefused> =>
  Effect.gen(function* () {
    if (given === undefined) return undefined
    if (!Array.isArray(given)) return yield* badField(param, "must be a list of token ids")
    const wrong = given.findIndex((id) => !Number.isInteger(id) || id < 0)
    if (wrong >= 0) return yield* badField(`${param}[${wrong}]`, "must be a token id, a whole number from 0")
    yield* checkIds(param, given as ReadonlyArray<number>, vocabulary)
    const known = new Uint8Array(vocabulary)
    return (given as ReadonlyArray<number>).filter((id) => known[id] === 0 && (known[id] = 1))
  })

/** Tokens whose logits a request may change: each costs time at every token of every response. */
const MOST_BIASES = 1024
const MOST_BIAS = 100

const readBiases = (
  given: unknown,
  vocabulary: number
): Effect.Effect<Readonly<Record<string, number>>, RequestRefused> =>
  Effect.gen(function* () {
    const param = "logit_bias"
    if (given === undefined) return {}
    if (!isObject(given)) return yield* badField(param, "must be an object, biases by token id")
    const ids = Object.keys(given)
    if (ids.length > MOST_BIASES) {
      return yield* badField(param, `has ${ids.length} tokens; at most ${MOST_BIASES}, or use allowed_token_ids`)
    }
    yield* checkIds(param, ids.map(tokenId), vocabulary)
    const wrong = ids.find((id) => !(typeof given[id] === "number" && Math.abs(given[id]) <= MOST_BIAS))
    if (wrong === undefined) return given as Readonly<Record<string, number>>
    return yield* badField(`${param}.${wrong}`, `must be a number from ${-MOST_BIAS} to ${MOST_BIAS}`)
  })

const tokenId = (text: string): number => (/^\d{1,10}$/.test(text) ? Number(text) : -1)

/** Fails on the first id that the model does not know. */
export const checkIds = (param: string, ids: ArrayLike<number>, vocabulary: number) => {
  let known = 0
  while (known < ids.length && ids[known]! >= 0 && ids[known]! < vocabulary) known++
  return known === ids.length
    ? Effect.void
    : Effect.fail(badField(param, `has an id outside the vocabulary of ${vocabulary} tokens, at place ${known}`))
}

/**
 * Fails where a request asks for more responses than are made at once; to be asked before its prompts are tokenized.
 *
 * @param cause the field that asks for several
 */
export const checkResponses = (
  cause: string,
  responses: number,
  maxResponses: number
): Effect.Effect<void, RequestRefused> => {
  if (responses <= maxResponses) return Effect.void
  const reason = `the request asks for ${responses} responses; at most ${maxResponses} are made at once`
  return Effect.fail(badField(cause, reason))
}

/**
 * The seed of a request; one that nobody chose when it names none. Negative ones and those of 64 bits, which OpenAI allows,
 * wrap around within the whole numbers that are exact here.
 */
export const seedOf = ({ seed }: SamplingRequest): number =>
  seed === undefined ? randomInt(2 ** 47) : Number(BigInt.asUintN(53, BigInt(seed)))
