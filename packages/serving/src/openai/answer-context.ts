import type { Limits } from "../shell/limits.ts"
import type { MetricsPage } from "../shell/metrics.ts"
import type { Usage } from "./job.ts"
import { openaiMetrics } from "./metrics.ts"

export interface AnswerContext {
  readonly metrics: MetricsPage
  readonly limits: Limits
  /** `performance.now()` when the request came. */
  readonly since: number
  /** Whose turn in the engine it takes. */
  readonly caller: unknown
}

/** What every answer and every chunk of one begins with. */
export interface AnswerHead {
  readonly id: string
  readonly created: number
  readonly model: string
  readonly system_fingerprint: string
}

export const countTokens = ({ add }: MetricsPage, usage: Usage): void => {
  add(openaiMetrics.promptTokens, usage.prompt_tokens)
  add(openaiMetrics.generatedTokens, usage.completion_tokens)
}
