import { Generator, type SamplingOptions } from "@plumbline/rollout-generation"
import { OptionsInvalid } from "@plumbline/training"
import { Effect } from "effect"
import type { Advantage } from "./advantages/advantage.ts"
import { PromptData } from "../responses/prompt-data.ts"

interface Checked {
  readonly advantage: Advantage
  readonly samples: number
  readonly sampling: SamplingOptions
  readonly maskTruncated?: boolean | undefined
}

/** Refuses what can teach nothing, before anything is written. */
export const checkPolicyGradient = Effect.fn("checkPolicyGradient")(function* (options: Checked) {
  for (const [option, problem] of problems) {
    const reason = problem(options)
    if (reason !== undefined) return yield* new OptionsInvalid({ option, reason })
  }
  const { limits } = yield* Generator
  const { units } = yield* PromptData
  const long = units.find(({ row }) => row.ids.length >= limits.contextTokens)
  if (long !== undefined) {
    const reason = `${long.origin} has a prompt of ${long.row.ids.length} tokens, which leaves no room for a response in the generator's context of ${limits.contextTokens}`
    return yield* new OptionsInvalid({ option: "--max-length", reason })
  }
})

const problems: ReadonlyArray<readonly [option: string, problem: (options: Checked) => string | undefined]> = [
  [
    "--samples",
    ({ advantage: { leastGroup = 1, name }, samples }) =>
      samples >= leastGroup
        ? undefined
        : `${samples} response to a prompt has nobody to be compared with: ${name} needs ${leastGroup}`
  ],
  [
    "--temperature",
    ({ sampling }) =>
      sampling.temperature > 0 ? undefined : "is 0: every response would be the same, and nothing could be learnt"
  ],
  [
    "--max-new-tokens",
    ({ sampling }) => (sampling.maxNewTokens > 0 ? undefined : "is 0: responses would have no tokens")
  ],
  [
    "--mask-truncated",
    ({ maskTruncated = false, sampling: { stopIds, stopStrings } }) =>
      maskTruncated && stopIds.length + stopStrings.length === 0
        ? "leaves out every response: neither tokenizer nor model names a token that ends one"
        : undefined
  ]
]
