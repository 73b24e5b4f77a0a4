import { GenerationRefused } from "./errors.ts"
import type { GeneratorLimits } from "./generator-shape.ts"
import type { GenerationRequest } from "./request.ts"
import { unsoundSampling } from "./sampling/unsound-sampling.ts"

/** Most tokens of each response to a request: by the request and by what the context has left, which may be nothing. */
export const roomOf = (
  { promptIds, sampling }: Pick<GenerationRequest, "promptIds" | "sampling">,
  contextTokens: number
): number => Math.min(sampling.maxNewTokens, contextTokens - promptIds.length)

/** Why no generator of these limits can ever do a request, wherever it computes; undefined where one can. */
export const unfitRequest = (request: GenerationRequest, limits: GeneratorLimits): GenerationRefused | undefined => {
  // the checks count on it
  const unsound = unsoundSampling(request.sampling)
  return unsound === undefined ? firstFault(checks, request, limits) : new GenerationRefused({ ...unsound })
}

export type Check<Limits> = readonly [
  field: string,
  problem: (request: GenerationRequest, limits: Limits) => string | undefined
]

export const firstFault = <Limits>(
  all: ReadonlyArray<Check<Limits>>,
  request: GenerationRequest,
  limits: Limits
): GenerationRefused | undefined => {
  for (const [field, problem] of all) {
    const reason = problem(request, limits)
    if (reason !== undefined) return new GenerationRefused({ field, reason })
  }
  return undefined
}

/** Responses to a prompt, whose rows are all in memory. */
const MOST_SAMPLES = 2 ** 16

/** Alternatives of a token that can be asked for. */
const MOST_ALTERNATIVES = 100

const isCount = (value: number, least: number): boolean => Number.isSafeInteger(value) && value >= least

// who asks may come from JavaScript
const notIds = (ids: ReadonlyArray<number>, vocabulary: number): string | undefined =>
  Array.isArray(ids) ? outside(ids, vocabulary) : "is no list of token ids"

const outside = (ids: Iterable<number>, vocabulary: number): string | undefined => {
  for (const id of ids) {
    if (!(Number.isInteger(id) && id >= 0 && id < vocabulary))
      return `has token id ${id}, outside the vocabulary of ${vocabulary}`
  }
  return undefined
}

const checks: ReadonlyArray<Check<GeneratorLimits>> = [
  [
    "promptIds",
    ({ promptIds }, { contextTokens, vocabulary }) => {
      if (!(promptIds instanceof Int32Array)) return "is no Int32Array"
      if (promptIds.length === 0) return "has no tokens"
      if (promptIds.length > contextTokens) return `has ${promptIds.length} tokens, the context holds ${contextTokens}`
      return outside(promptIds, vocabulary)
    }
  ],
  [
    "samples",
    ({ samples = 1 }) =>
      isCount(samples, 1) && samples <= MOST_SAMPLES
        ? undefined
        : `is ${samples}, not a whole number from 1 to ${MOST_SAMPLES}`
  ],
  ["seed", ({ seed }) => (isCount(seed, 0) ? undefined : `is ${seed}, not a whole number from 0 to 2⁵³ − 1`)],
  [
    "topLogProbs",
    ({ topLogProbs = 0 }) =>
      isCount(topLogProbs, 0) && topLogProbs <= MOST_ALTERNATIVES
        ? undefined
        : `is ${topLogProbs}, not a whole number from 0 to ${MOST_ALTERNATIVES}`
  ],
  [
    "deadlineSeconds",
    ({ deadlineSeconds = 1 }) => (deadlineSeconds > 0 ? undefined : `is ${deadlineSeconds}, not a positive number`)
  ],
  [
    "minNewTokens",
    ({ sampling: { maxNewTokens, minNewTokens } }) =>
      minNewTokens > maxNewTokens ? `is ${minNewTokens}, above maxNewTokens ${maxNewTokens}` : undefined
  ],
  [
    "stopIds",
    ({ sampling: { allowedTokens, minNewTokens, stopIds } }, { vocabulary }) => {
      const fault = notIds(stopIds, vocabulary)
      if (fault !== undefined || allowedTokens !== undefined || minNewTokens === 0) return fault
      return stopIds.length >= vocabulary && new Set(stopIds).size === vocabulary
        ? "are all the tokens there are, which minNewTokens forbids at first"
        : undefined
    }
  ],
  [
    "logitBias",
    ({ sampling: { logitBias } }, { vocabulary }) => {
      if (typeof logitBias !== "object" || logitBias === null) return "is no record of token ids"
      const wrong = Object.keys(logitBias).find((id) => !Number.isFinite(logitBias[id]))
      if (wrong !== undefined) return `adds ${logitBias[wrong]} to token id ${wrong}`
      return outside(Object.keys(logitBias).map(Number), vocabulary)
    }
  ],
  [
    "allowedTokens",
    ({ sampling: { allowedTokens, minNewTokens, stopIds } }, { vocabulary }) => {
      if (allowedTokens === undefined) return undefined
      const fault = notIds(allowedTokens, vocabulary)
      if (fault !== undefined) return fault
      if (allowedTokens.length === 0) return "is an empty list"
      const ending = new Set(stopIds)
      return minNewTokens > 0 && allowedTokens.every((id) => ending.has(id))
        ? "are all stop tokens, which minNewTokens forbids at first"
        : undefined
    }
  ]
]
