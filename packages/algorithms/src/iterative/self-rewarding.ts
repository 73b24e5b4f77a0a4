import type { Tokenizer } from "@plumbline/data"
import type { CausalLM, Policy, ReferencePolicy } from "@plumbline/models"
import type { Reward, RewardError } from "@plumbline/reward-model"
import type { GenerationError, Generator } from "@plumbline/rollout-generation"
import type { Algorithm } from "@plumbline/training"
import { movingReference } from "../preference/moving-reference.ts"
import type { PairBatch } from "../preference/pair-batch.ts"
import type { PreferenceLoss } from "../preference/preference-loss.ts"
import type { ReferenceLogProbs } from "../preference/reference-log-probs.ts"
import { lengthControlled } from "./choose-pair.ts"
import { onlinePreference } from "./online-preference.ts"
import type { PromptData } from "../responses/prompt-data.ts"
import type { Reported } from "./reported.ts"
import type { ResponseOptions } from "../responses/responses.ts"

export interface SelfRewardingOptions extends ResponseOptions {
  /** Steps of an iteration; after each, responses, judgements and reference are those of the policy as it is then. */
  readonly iterationSteps: number
  /** ρ of `lengthControlled`. */
  readonly lengthControl: number
}

/**
 * Self-rewarding: in each iteration the model of the iteration before, M_t, writes responses and judges them; M_{t+1} is M_t after a preference
 * loss on the best against the worst, with M_t for a reference.
 *
 * `Generator` is that of the `ReferencePolicy`, which has variables (`layerMovable`) and is in every checkpoint. `Reward` is the
 * model itself as a judge (`selfJudge`), or anything else that judges: rules, a trained model.
 *
 * Deviations from the paper: pairs are made as training goes, not all at an iteration's start (they are the same, for M_t does not
 * move within it); moments go on from iteration to iteration.
 *
 * @see Yuan et al. 2024, https://arxiv.org/abs/2401.10020
 */
export const selfRewarding = (
  loss: PreferenceLoss,
  { iterationSteps, lengthControl, ...responses }: SelfRewardingOptions
): Algorithm<
  { readonly policy: CausalLM },
  PairBatch & Reported,
  GenerationError | RewardError,
  Policy | ReferencePolicy | PromptData | Generator | Reward | ReferenceLogProbs | Tokenizer
> => {
  const choose = lengthControlled(lengthControl)
  return {
    ...movingReference(onlinePreference(loss, { ...responses, choose }), { every: iterationSteps, mixup: 1 }),
    name: "self-rewarding",
    config: { loss: loss.options, iterationSteps, lengthControl, ...responses }
  }
}
