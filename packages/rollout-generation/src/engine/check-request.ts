import type { TokenizerShape } from "@plumbline/data"
import type { GenerationRefused } from "../errors.ts"
import type { GeneratorLimits } from "../generator-shape.ts"
import { type Check, firstFault, roomOf, unfitRequest } from "../request-limits.ts"
import type { GenerationRequest } from "../request.ts"

export interface RequestLimits extends GeneratorLimits {
  /** Tokens that the cache holds. */
  readonly cacheTokens: number
  readonly pageSize: number
  /** Places before every row's tokens, which take pages, too. */
  readonly prefixTokens: number
  readonly tokenizer: Pick<TokenizerShape, "decode"> | undefined
}

/** Why a request can never be done by the engine; undefined where it can. */
export const refusal = (request: GenerationRequest, limits: RequestLimits): GenerationRefused | undefined =>
  unfitRequest(request, limits) ?? firstFault(checks, request, limits)

const checks: ReadonlyArray<Check<RequestLimits>> = [
  [
    "maxNewTokens",
    (request, { cacheTokens, contextTokens, pageSize, prefixTokens }) => {
      const most = request.promptIds.length + roomOf(request, contextTokens)
      // full pages of the prefix are everybody's
      return Math.ceil(((prefixTokens % pageSize) + most) / pageSize) * pageSize > cacheTokens
        ? `and the prompt take ${most} tokens, the key-value cache holds ${cacheTokens}; cacheTokens sets its size`
        : undefined
    }
  ],
  [
    "stopStrings",
    ({ sampling: { stopStrings } }, { tokenizer }) =>
      stopStrings.length > 0 && tokenizer === undefined
        ? "cannot be matched: the generator has no tokenizer"
        : undefined
  ]
]
