import type { GenerationRequest, PromptScores, TokenLogProb } from "../request.ts"
import { type Choice, tokenIdsOf, topOf } from "./choice.ts"
import type { KnownLogProbs } from "./completion-body.ts"
import { UNKNOWN_VERSION } from "./options.ts"

/** Tokens of a choice, or of a part of one. */
export interface Gathered {
  readonly ids: ReadonlyArray<number>
  readonly policyLogProbs: ReadonlyArray<number>
  readonly samplingLogProbs: ReadonlyArray<number>
  readonly policyVersions: ReadonlyArray<number>
  /** Empty lists where nobody asked. */
  readonly top: ReadonlyArray<ReadonlyArray<TokenLogProb>>
  /** Of an echoed prompt. */
  readonly prompt: PromptScores | undefined
}

/** What an answer lacks or contradicts, in words. */
export class AnswerUnusable extends Error {}

/**
 * Reads the tokens of a choice.
 *
 * @param echoed  tokens of the prompt that this choice repeats
 * @param version of the weights, where the choice does not say it token by token
 * @throws AnswerUnusable
 */
export const gather = (
  choice: Choice,
  request: GenerationRequest,
  known: KnownLogProbs,
  echoed: number,
  version: number | undefined
): Gathered => {
  checkPrompt(choice, request)
  const named = choice.logprobs?.token_logprobs ?? []
  const ids = tokenIdsOf(choice, echoed)
  if (ids === undefined) {
    throw new AnswerUnusable(
      "it returned text without token ids; set tokenIdFields to what makes this server return them"
    )
  }
  if (named.length !== echoed + ids.length) {
    const cure = named.length === 0 ? "; set tokenIdFields to what makes this server return them" : ""
    throw new AnswerUnusable(`it gave ${named.length} log-probs for ${echoed + ids.length} tokens${cure}`)
  }
  const told = numbers(named.slice(echoed), "logprobs")
  const policy = choice.policy_logprobs ?? (known.policy ? told : undefined)
  const temperatureZero = request.sampling.temperature === 0 ? ids.map(() => 0) : undefined
  const sampling = choice.sampling_logprobs ?? temperatureZero ?? (known.sampling ? told : undefined)
  const alternatives = choice.logprobs?.top_logprobs ?? []
  return {
    ids,
    policyLogProbs: sized(policy, ids.length, "policy_logprobs", known),
    samplingLogProbs: sized(sampling, ids.length, "sampling_logprobs", known),
    policyVersions: versionsOf(choice, ids.length) ?? ids.map(() => version ?? UNKNOWN_VERSION),
    top: policyTop(
      ids.map((_, t) => topAt(alternatives[echoed + t], request.topLogProbs ?? 0)),
      known
    ),
    prompt: echoed === 0 ? undefined : promptScores(named, alternatives, request, echoed)
  }
}

const checkPrompt = ({ prompt_token_ids: used }: Choice, { promptIds }: GenerationRequest): void => {
  if (used === undefined || used === null) return
  if (used.length === promptIds.length && used.every((id, t) => id === promptIds[t])) return
  throw new AnswerUnusable(`it went on from another prompt: ${used.length} tokens for the ${promptIds.length} sent`)
}

const versionsOf = ({ policy_versions: versions }: Choice, length: number): ReadonlyArray<number> | undefined => {
  if (versions === undefined || versions === null || versions.length === length) return versions ?? undefined
  throw new AnswerUnusable(`it gave ${versions.length} policy_versions for ${length} tokens`)
}

/** What rounding may add to the log-prob of a certain token. */
const ROUNDING = 0.01

/** What vLLM and TensorRT-LLM write for it, and for what they do not know; SGLang has less still. */
const MINUS_INFINITY = -9999

const numbers = (values: ReadonlyArray<number | null>, what: string): ReadonlyArray<number> =>
  values.map((value) => {
    if (value === null) throw new AnswerUnusable(`its ${what} have a gap`)
    // JSON writes no infinity, but 1e999 is read as one
    if (value > MINUS_INFINITY && value <= ROUNDING) return value
    throw new AnswerUnusable(`its ${what} have ${value}, which is no log-prob`)
  })

const sized = (
  values: ReadonlyArray<number | null> | undefined,
  length: number,
  what: string,
  { unknownAllowed }: KnownLogProbs
): ReadonlyArray<number> => {
  if (values === undefined) {
    // the part of a stream that repeats the prompt has no tokens of its own
    if (length === 0) return []
    if (unknownAllowed) return Array<number>(length).fill(Number.NaN)
    const cure =
      "sample at temperature 1 without filters and penalties, say in logProbs what they are, or allow unknownLogProbs"
    throw new AnswerUnusable(`it does not report ${what}, which differ from its logprobs here; ${cure}`)
  }
  if (values.length !== length) throw new AnswerUnusable(`it gave ${values.length} ${what} for ${length} tokens`)
  return numbers(values, what)
}

/** Alternatives of the distribution that was drawn from have other log-probs than the policy's. */
const policyTop = (
  top: ReadonlyArray<ReadonlyArray<TokenLogProb>>,
  { policy, unknownAllowed }: KnownLogProbs
): ReadonlyArray<ReadonlyArray<TokenLogProb>> => {
  if (policy || top.every(({ length }) => length === 0)) return top
  if (unknownAllowed) return top.map((one) => one.map(({ id }) => ({ id, logProb: Number.NaN })))
  throw new AnswerUnusable("its top_logprobs are not the policy's here; ask for none, or allow unknownLogProbs")
}

const topAt = (
  named: Readonly<Record<string, number>> | null | undefined,
  count: number
): ReadonlyArray<TokenLogProb> => {
  if (count === 0) return []
  const top = named === null || named === undefined ? undefined : topOf(named, count)
  if (top === undefined) throw new AnswerUnusable("it names the likeliest tokens by text, not by id")
  return top
}

const promptScores = (
  named: ReadonlyArray<number | null>,
  alternatives: NonNullable<NonNullable<Choice["logprobs"]>["top_logprobs"]>,
  { topLogProbs = 0 }: GenerationRequest,
  echoed: number
): PromptScores => ({
  // the first token has nothing before it
  logProbs: Float32Array.from([Number.NaN, ...numbers(named.slice(1, echoed), "logprobs of the prompt")]),
  topLogProbs: Array.from({ length: echoed }, (_, t) => (t === 0 ? [] : topAt(alternatives[t], topLogProbs)))
})

/** Parts put one after the other. */
export const joined = (parts: ReadonlyArray<Gathered>): Gathered => ({
  ids: parts.flatMap(({ ids }) => ids),
  policyLogProbs: parts.flatMap(({ policyLogProbs }) => policyLogProbs),
  samplingLogProbs: parts.flatMap(({ samplingLogProbs }) => samplingLogProbs),
  policyVersions: parts.flatMap(({ policyVersions }) => policyVersions),
  top: parts.flatMap(({ top }) => top),
  prompt: parts[0]?.prompt
})
