import type { Tokenizer } from "@plumbline/data"
import { type CausalLM, Policy } from "@plumbline/models"
import type { Reward } from "@plumbline/reward-model"
import { type RewardError } from "@plumbline/reward-model"
import type { Generator } from "@plumbline/rollout-generation"
import { type GenerationError } from "@plumbline/rollout-generation"
import { type Algorithm, type Dataset, globalBatches, splitUnits } from "@plumbline/training"
import { Effect, Stream } from "effect"
import { type PairBatch, pairRows } from "../preference/pair-batch.ts"
import type { PairUnit } from "../preference/preference-data.ts"
import type { PreferenceLoss } from "../preference/preference-loss.ts"
import { preferenceObjective } from "../preference/preference-objective.ts"
import { ReferenceLogProbs } from "../preference/reference-log-probs.ts"
import { bestAndWorst, type ChosenPair, type ChoosePair } from "./choose-pair.ts"
import { judgedResponses, type JudgedPromptUnit } from "./judged-responses.ts"
import { PromptData, type PromptUnit } from "./prompt-data.ts"
import { type Reported, reporting, withReport } from "./reported.ts"
import type { ResponseOptions } from "./responses.ts"
import { rolloutReport } from "./rollout-report.ts"

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
  stepsPerEpoch: Effect.map(PromptData, ({ sampler }) => sampler.stepsPerEpoch),
  experience: (position) =>
    Stream.unwrap(
      Effect.map(PromptData, (data) =>
        globalBatches(data.units, data.sampler, position).pipe(
          Stream.zipWithIndex,
          Stream.mapEffect(([units, index]) => judgedPairs(loss, data, units, position + index, options))
        )
      )
    ),
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
  const pairs = judged.flatMap((group) => {
    const pair = choose(group.samples)
    return pair === undefined ? [] : [pairUnit(group, pair)]
  })
  const batch = (part: ReadonlyArray<PairUnit>): PairBatch => {
    const rows = pairRows(data, part, tailWeight)
    return { ...rows, referenceLogProbs: part.length === 0 ? new Float32Array(0) : reference.of(rows) }
  }
  const used = Float32Array.from(judged, ({ samples }) => (choose(samples) === undefined ? 0 : 1))
  return withReport(splitUnits(pairs, data.split), batch, { ...rolloutReport(judged), "pairs/used": used })
})

const pairUnit = ({ unit }: JudgedPromptUnit, { chosen, rejected }: ChosenPair): PairUnit => ({
  row: {
    chosen: chosen.row,
    rejected: rejected.row,
    chosenReward: chosen.reward!,
    rejectedReward: rejected.reward!
  },
  tokens: chosen.row.ids.length + rejected.row.ids.length,
  origin: unit.origin
})
