import { Reward, type RewardShape } from "@plumbline/reward-model"
import { Processes } from "@plumbline/runtime"
import { Generator, type SamplingOptions, UNKNOWN_VERSION } from "@plumbline/rollout-generation"
import { OptionsInvalid } from "@plumbline/training"
import { Effect } from "effect"
import type { Advantage } from "./advantages/advantage.ts"
import type { SamplerCorrection } from "./sampler-correction.ts"
import { PromptData } from "../responses/prompt-data.ts"

interface Checked {
  readonly advantage: Advantage
  readonly samples: number
  readonly sampling: SamplingOptions
  readonly maskTruncated?: boolean | undefined
  readonly staleness?: number
  readonly correction?: SamplerCorrection | undefined
  readonly dynamicSampling?: number | undefined
}

/** Refuses what can teach nothing, before anything is written. */
export const checkPolicyGradient = Effect.fn("checkPolicyGradient")(function* (options: Checked) {
  for (const [option, problem] of problems) {
    const reason = problem(options)
    if (reason !== undefined) return yield* new OptionsInvalid({ option, reason })
  }
  const alone = (yield* Processes).size === 1 ? undefined : unshared(options, yield* Reward)
  if (alone !== undefined) {
    return yield* new OptionsInvalid({ option: "--processes", reason: `several cannot share a run with ${alone} yet` })
  }
  const { limits, policyVersion } = yield* Generator
  const { sampler, units } = yield* PromptData
  if ((options.staleness ?? 0) > 0 && (yield* policyVersion) === UNKNOWN_VERSION) {
    const reason = "cannot be held to a bound: the generator does not say which weights write a token"
    return yield* new OptionsInvalid({ option: "--staleness", reason })
  }
  if (options.dynamicSampling !== undefined && sampler.indices(0).length === units.length) {
    const reason = `every rollout has all of the ${units.length} prompts: none is left to take the place of another`
    return yield* new OptionsInvalid({ option: "--dynamic-sampling", reason })
  }
  const long = units.find(({ row }) => row.ids.length >= limits.contextTokens)
  if (long !== undefined) {
    const reason = `${long.origin} has a prompt of ${long.row.ids.length} tokens, which leaves no room for a response in the generator's context of ${limits.contextTokens}`
    return yield* new OptionsInvalid({ option: "--max-length", reason })
  }
})

/** What takes its own time, or must see all groups in one order. */
const unshared = ({ dynamicSampling, staleness = 0 }: Checked, { memory }: RewardShape): string | undefined => {
  if (staleness > 0) return "--staleness"
  if (dynamicSampling !== undefined) return "--dynamic-sampling"
  return memory === undefined ? undefined : "a reward that remembers what it has seen"
}

const problems: ReadonlyArray<readonly [option: string, problem: (options: Checked) => string | undefined]> = [
  [
    "--samples",
    ({ advantage: { leastGroup = 1, name }, samples }) =>
      samples >= leastGroup
        ? undefined
        : `${samples} response to a prompt has nobody to be compared with: ${name} needs ${leastGroup}`
  ],
  [
    "--staleness",
    ({ correction, staleness = 0 }) =>
      staleness === 0 || correction !== undefined
        ? undefined
        : "needs a --sampler-correction: responses are drawn from older weights than those that learn"
  ],
  [
    "--dynamic-sampling",
    ({ advantage: { leastGroup = 1, name }, dynamicSampling }) =>
      dynamicSampling === undefined || leastGroup > 1
        ? undefined
        : `is for advantages over the other responses to a prompt: ${name} is none`
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
