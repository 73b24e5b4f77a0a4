import type { TokenizerShape } from "@plumbline/data"
import { GenerationRefused } from "../errors.ts"
import type { GeneratorLimits } from "../generator-shape.ts"
import type { GenerationRequest } from "../request.ts"

export interface RequestLimits extends GeneratorLimits {
  /** Tokens that the cache holds. */
  readonly cacheTokens: number
  readonly pageSize: number
  /** Places before every row's tokens, which take pages, too. */
  readonly prefixTokens: number
  readonly tokenizer: Pick<TokenizerShape, "decode"> | undefined
}

/** Responses to a prompt, whose rows are all in memory. */
const MOST_SAMPLES = 2 ** 16

/** Alternatives of a token that can be asked for. */
const MOST_ALTERNATIVES = 100

/** Why a request can never be done; undefined where it can. */
export const refusal = (request: GenerationRequest, limits: RequestLimits): GenerationRefused | undefined => {
  for (const [field, problem] of checks) {
    const reason = problem(request, limits)
    if (reason !== undefined) return new GenerationRefused({ field, reason })
  }
  return undefined
}

type Check = (request: GenerationRequest, limits: RequestLimits) => string | undefined

const isCount = (value: number, least: number): boolean => Number.isSafeInteger(value) && value >= least

const outside = (ids: Iterable<number>, vocabulary: number): string | undefined => {
  for (const id of ids) {
    if (!(id >= 0 && id < vocabulary)) return `has token id ${id}, outside the vocabulary of ${vocabulary}`
  }
  return undefined
}

const checks: ReadonlyArray<readonly [field: string, Check]> = [
  [
    "promptIds",
    ({ promptIds }, { contextTokens, vocabulary }) => {
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
    "maxNewTokens",
    ({ promptIds, sampling }, { cacheTokens, contextTokens, pageSize, prefixTokens }) => {
      const most = Math.min(promptIds.length + sampling.maxNewTokens, contextTokens)
      // full pages of the prefix are everybody's
      return Math.ceil(((prefixTokens % pageSize) + most) / pageSize) * pageSize > cacheTokens
        ? `and the prompt take ${most} tokens, the key-value cache holds ${cacheTokens}; cacheTokens sets its size`
        : undefined
    }
  ],
  ["stopIds", ({ sampling }, { vocabulary }) => outside(sampling.stopIds, vocabulary)],
  [
    "stopStrings",
    ({ sampling: { stopStrings } }, { tokenizer }) =>
      stopStrings.length > 0 && tokenizer === undefined
        ? "cannot be matched: the generator has no tokenizer"
        : undefined
  ],
  ["logitBias", ({ sampling }, { vocabulary }) => outside(Object.keys(sampling.logitBias).map(Number), vocabulary)],
  [
    "allowedTokens",
    ({ sampling: { allowedTokens, minNewTokens, stopIds } }, { vocabulary }) => {
      if (allowedTokens === undefined) return undefined
      if (minNewTokens > 0 && allowedTokens.every((id) => stopIds.includes(id))) {
        return "are all stop tokens, which minNewTokens forbids at first"
      }
      return outside(allowedTokens, vocabulary)
    }
  ]
]
