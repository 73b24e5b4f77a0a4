import type { Tokenizer } from "@plumbline/data"
import { type CausalLM, Policy, type ReferencePolicy } from "@plumbline/models"
import type { Reward, RewardError } from "@plumbline/reward-model"
import type { GenerationError, Generator } from "@plumbline/rollout-generation"
import { tf, type Tensor1D } from "@plumbline/runtime"
import { type Algorithm, type Dataset, type Objective, splitUnits } from "@plumbline/training"
import { Effect } from "effect"
import { dpo } from "../preference/dpo.ts"
import type { PairBatch } from "../preference/pair-batch.ts"
import type { PairUnit } from "../preference/preference-data.ts"
import type { PreferenceLoss } from "../preference/preference-loss.ts"
import { preferenceObjective } from "../preference/preference-objective.ts"
import { pairBatch, ReferenceLogProbs } from "../preference/reference-log-probs.ts"
import { writtenBatches } from "../responses/written-batches.ts"
import { bestAndWorst } from "./choose-pair.ts"
import { PromptData, type PromptUnit } from "../responses/prompt-data.ts"
import { pairUnit } from "./online-preference.ts"
import { type Duel, writeDuels } from "./duels.ts"
import type { OpponentGenerator } from "./opponent-generator.ts"
import { type Reported, reporting, withReport } from "./reported.ts"
import type { ResponseOptions } from "../responses/responses.ts"
import { rolloutReport } from "../responses/rollout-report.ts"

export interface XpoOptions extends Omit<ResponseOptions, "samples"> {
  readonly beta: number
  /** α: how much the policy is drawn away from what the reference writes. */
  readonly exploration: number
}

/** Pairs of which one response is the policy's and the other the reference's. */
export interface XpoBatch extends PairBatch {
  /** [P] 1 where the chosen response is the reference's, 0 where the rejected one is */
  readonly chosenOfReference: Float32Array
}

/**
 * XPO's loss: DPO's, with a bonus for responses that the reference would not write,
 *
 *   L = −log σ(β·h) + α·log π(y_ref),   y_ref the reference's response of the pair
 *
 * With policy = reference it costs ln 2 + α·log π_ref(y_ref).
 *
 * @param chosenOfReference [P] host data
 */
export const xpoLoss = (
  { beta, exploration }: Pick<XpoOptions, "beta" | "exploration">,
  chosenOfReference: Float32Array
): PreferenceLoss => ({
  name: "xpo",
  options: { beta, exploration },
  beta,
  perPair: (pairs) => {
    const isChosen = tf.tensor1d(chosenOfReference)
    const ofReference = tf.add<Tensor1D>(
      tf.mul(isChosen, pairs.policyChosen),
      tf.mul(tf.sub(1, isChosen), pairs.policyRejected)
    )
    return tf.add(dpo({ beta }).perPair(pairs), tf.mul(exploration, ofReference))
  }
})

const xpoObjective = (options: XpoOptions): Objective<{ readonly policy: CausalLM }, XpoBatch> => ({
  counts: preferenceObjective(dpo(options)).counts,
  loss: (models, batch) => preferenceObjective(xpoLoss(options, batch.chosenOfReference)).loss(models, batch)
})

/**
 * XPO: one response of the policy and one of the reference to each prompt, the better against the worse, and a bonus for
 * leaving what the reference writes. Two equally good responses make no pair.
 *
 * @see Xie et al. 2024, Algorithm 1, https://arxiv.org/abs/2405.21046
 */
export const xpo = (
  options: XpoOptions
): Algorithm<
  { readonly policy: CausalLM },
  XpoBatch & Reported,
  GenerationError | RewardError,
  Policy | PromptData | Generator | OpponentGenerator | ReferencePolicy | Reward | ReferenceLogProbs | Tokenizer
> => ({
  name: "xpo",
  config: options,
  trainable: Effect.map(Policy, (policy) => ({ policy })),
  stepsPerEpoch: Effect.map(PromptData, ({ sampler }) => sampler.stepsPerEpoch),
  experience: (position) =>
    writtenBatches(PromptData, position, (data, units, step) => wonAndLost(data, units, step, options)),
  objective: reporting(xpoObjective(options))
})

const wonAndLost = Effect.fnUntraced(function* (
  data: Dataset<PromptUnit>,
  units: ReadonlyArray<PromptUnit>,
  step: number,
  options: XpoOptions
) {
  const reference = yield* ReferenceLogProbs
  const duels = yield* writeDuels(data, units, step, options)
  const pairs = duels.flatMap(decided)
  const batch = (part: ReadonlyArray<DecidedDuel>): XpoBatch => ({
    ...pairBatch(data, part, reference),
    chosenOfReference: Float32Array.from(part, ({ chosenOfReference }) => (chosenOfReference ? 1 : 0))
  })
  const won = Float32Array.from(pairs, ({ chosenOfReference }) => (chosenOfReference ? 0 : 1))
  return yield* withReport(splitUnits(pairs, data.split), batch, { ...rolloutReport(duels), "pairs/won": won })
})

interface DecidedDuel extends PairUnit {
  readonly chosenOfReference: boolean
}

const decided = (duel: Duel): ReadonlyArray<DecidedDuel> => {
  const pair = bestAndWorst(duel.samples)
  if (pair === undefined) return []
  return [{ ...pairUnit(duel, pair), chosenOfReference: pair.chosen === duel.samples[1] }]
}
