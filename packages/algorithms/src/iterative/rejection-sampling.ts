import type { Tokenizer } from "@plumbline/data"
import { collate, type DataError } from "@plumbline/data"
import { type CausalLM, Policy } from "@plumbline/models"
import type { Reward } from "@plumbline/reward-model"
import { type RewardError } from "@plumbline/reward-model"
import type { Generator } from "@plumbline/rollout-generation"
import { type GenerationError } from "@plumbline/rollout-generation"
import { type Algorithm, type Dataset, type DataUnit, splitUnits } from "@plumbline/training"
import { Effect } from "effect"
import { negativeLogLikelihood, type SupervisedBatch } from "../supervised/negative-log-likelihood.ts"
import { judgedResponses, type JudgedPromptUnit, type JudgedSample } from "../responses/judged-responses.ts"
import { PromptData, type PromptUnit } from "../responses/prompt-data.ts"
import { writtenBatches } from "../responses/written-batches.ts"
import { type Reported, reporting, withReport } from "./reported.ts"
import type { ResponseOptions } from "../responses/responses.ts"
import { rolloutReport } from "../responses/rollout-report.ts"

export interface RejectionSamplingOptions extends ResponseOptions {
  /** Best responses of each prompt that are imitated. */
  readonly keep: number
}

/**
 * Rejection sampling: of K responses of the policy to a prompt the n best are imitated,
 *
 *   L = −Σ_kept Σ_t log π(y_t | x, y_<t) / tokens
 *
 * Of equally good ones the first count. A response whose reward abstained is never imitated.
 *
 * @see Touvron et al. 2023 (Llama 2), §3.2.3, https://arxiv.org/abs/2307.09288
 */
export const rejectionSampling = (
  options: RejectionSamplingOptions
): Algorithm<
  { readonly policy: CausalLM },
  SupervisedBatch & Reported,
  GenerationError | RewardError | DataError,
  Policy | PromptData | Generator | Reward | Tokenizer
> => ({
  name: "rejection-sampling",
  config: options,
  trainable: Effect.map(Policy, (policy) => ({ policy })),
  stepsPerEpoch: Effect.map(PromptData, ({ sampler }) => sampler.stepsPerEpoch),
  experience: (position) =>
    writtenBatches(PromptData, position, (data, units, step) => keptResponses(data, units, step, options)),
  objective: reporting(negativeLogLikelihood)
})

const keptResponses = Effect.fnUntraced(function* (
  data: Dataset<PromptUnit>,
  units: ReadonlyArray<PromptUnit>,
  step: number,
  options: RejectionSamplingOptions
) {
  const judged = yield* judgedResponses(units, step, { ...options, maxLength: data.maxLength })
  const kept = judged.flatMap(({ samples, unit }) =>
    bestOf(samples, options.keep).map((sample) => keptUnit(unit, sample))
  )
  const rewards = { "reward/kept": Float32Array.from(kept, ({ reward }) => reward) }
  const report = { ...rolloutReport(judged), ...rewards }
  return yield* withReport(splitUnits(kept, data.split), (part) => supervisedBatch(data, part), report)
})

const bestOf = (samples: JudgedPromptUnit["samples"], keep: number): ReadonlyArray<JudgedSample> =>
  samples
    .filter(({ reward }) => reward !== undefined)
    .toSorted((a, b) => b.reward! - a.reward! || a.response.sample - b.response.sample)
    .slice(0, keep)

interface KeptUnit extends DataUnit {
  readonly row: JudgedSample["row"]
  readonly reward: number
}

const keptUnit = ({ origin }: PromptUnit, { response, reward, row }: JudgedSample): KeptUnit => ({
  row,
  reward: reward!,
  tokens: row.ids.length,
  origin: `${origin}, sample ${response.sample}`
})

const supervisedBatch = (data: Dataset<PromptUnit>, units: ReadonlyArray<KeptUnit>): SupervisedBatch => ({
  rows: collate(
    units.map(({ row }) => row),
    data
  ),
  tokens: units.reduce((total, { tokens }) => total + tokens, 0),
  origins: units.map(({ origin }) => origin)
})
