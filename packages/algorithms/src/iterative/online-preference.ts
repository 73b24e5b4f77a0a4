import type { Tokenizer } from "@plumbline/data"
import { type CausalLM, Policy } from "@plumbline/models"
import type { Reward } from "@plumbline/reward-model"
import { type RewardError } from "@plumbline/reward-model"
import type { Generator } from "@plumbline/rollout-generation"
import { type GenerationError } from "@plumbline/rollout-generation"
import { type Algorithm, type Dataset, splitUnits } from "@plumbline/training"
import { Effect } from "effect"
import { pairsAtFirst } from "../preference/at-first.ts"
import type { PairBatch } from "../preference/pair-batch.ts"
import type { PairUnit } from "../preference/preference-data.ts"
import type { PreferenceLoss } from "../preference/preference-loss.ts"
import { preferenceObjective } from "../preference/preference-objective.ts"
import { pairBatch, ReferenceLogProbs } from "../preference/reference-log-probs.ts"
import { writtenBatches } from "../responses/written-batches.ts"
import { bestAndWorst, type ChosenPair, type ChoosePair } from "./choose-pair.ts"
import { judgedResponses, type JudgedPromptUnit } from "../responses/judged-responses.ts"
import { PromptData, type PromptUnit } from "../responses/prompt-data.ts"
import { type Reported, reporting, withReport } from "./reported.ts"
import type { ResponseOptions } from "../responses/responses.ts"
import { rolloutReport } from "../responses/rollout-report.ts"

export interface OnlinePreferenceOptions extends ResponseOptions {
  /** Two of the responses to a prompt; the best and the worst when absent. */
  readonly choose?: ChoosePair
  /** What the run's record says of the choice. */
  readonly choice?: unknown
}

/**
 * Online preference optimization: pairs are responses that the generator writes during training, ordered by their
 * rewards; on them any preference loss against any reference.
 *
 * With the policy's own engine for a generator it is online DPO. With that of a reference that follows the policy in jumps
 * (`movingReference`) it is an iterative method: each jump begins an iteration. Prompts whose responses are equally good
 * give no pair; a step without any changes no weight.
 *
 * @see Guo et al. 2024 (online DPO), https://arxiv.org/abs/2402.04792
 */
export const onlinePreference = (
  loss: PreferenceLoss,
  options: OnlinePreferenceOptions
): Algorithm<
  { readonly policy: CausalLM },
  PairBatch & Reported,
  GenerationError | RewardError,
  Policy | PromptData | Generator | Reward | ReferenceLogProbs | Tokenizer
> => ({
  name: `online-${loss.name}`,
  config: { loss: loss.options, ...recorded(options) },
  trainable: Effect.map(Policy, (policy) => ({ policy })),
  atFirst: pairsAtFirst(loss),
  stepsPerEpoch: Effect.map(PromptData, ({ sampler }) => sampler.stepsPerEpoch),
  experience: (position) =>
    writtenBatches(PromptData, position, (data, units, step) => judgedPairs(loss, data, units, step, options)),
  objective: reporting(preferenceObjective(loss))
})

const recorded = ({ choose: _choose, ...rest }: OnlinePreferenceOptions) => rest

const judgedPairs = Effect.fnUntraced(function* (
  { tailWeight }: PreferenceLoss,
  data: Dataset<PromptUnit>,
  units: ReadonlyArray<PromptUnit>,
  step: number,
  options: OnlinePreferenceOptions
) {
  const reference = yield* ReferenceLogProbs
  const judged = yield* judgedResponses(units, step, { ...options, maxLength: data.maxLength })
  const choose = options.choose ?? bestAndWorst
  const chosen = judged.map(({ samples }) => choose(samples))
  const pairs = chosen.flatMap((pair, i) => (pair === undefined ? [] : [pairUnit(judged[i]!, pair)]))
  const batch = (part: ReadonlyArray<PairUnit>) => pairBatch(data, part, reference, tailWeight)
  const used = Float32Array.from(chosen, (pair) => (pair === undefined ? 0 : 1))
  return yield* withReport(splitUnits(pairs, data.split), batch, { ...rolloutReport(judged), "pairs/used": used })
})

/** Two responses to a prompt as a pair with graded rewards. */
export const pairUnit = ({ unit }: JudgedPromptUnit, { chosen, rejected }: ChosenPair): PairUnit => ({
  row: {
    chosen: chosen.row,
    rejected: rejected.row,
    chosenReward: chosen.reward!,
    rejectedReward: rejected.reward!
  },
  tokens: chosen.row.ids.length + rejected.row.ids.length,
  origin: unit.origin
})
