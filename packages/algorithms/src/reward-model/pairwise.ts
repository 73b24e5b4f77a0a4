import type { ScalarModel } from "@plumbline/models"
import {
  type AttributesUnknown,
  type AttributeWeights,
  pairwiseObjective,
  type PairwiseLoss,
  RewardModel,
  type ScoredPairs,
  unfitWeights
} from "@plumbline/reward-model"
import { type Algorithm, splitUnits, unitBatches } from "@plumbline/training"
import { Effect, Stream } from "effect"
import { DataUnfit } from "../data-unfit.ts"
import { type PairUnit, PreferenceData } from "../preference/preference-data.ts"
import { scoredPairs, strengthOf } from "./scored-pairs.ts"

/**
 * A reward model from preference pairs: any `PairwiseLoss` on the scores of both sides.
 *
 * Fails with `DataUnfit` where the loss needs to know how strong a preference is and a pair does not say.
 *
 * @param weights of a head with several attributes
 */
export const pairwise = (
  loss: PairwiseLoss,
  weights?: AttributeWeights
): Algorithm<
  { readonly reward: ScalarModel },
  ScoredPairs,
  DataUnfit | AttributesUnknown,
  RewardModel | PreferenceData
> => ({
  name: loss.name,
  config: { ...loss.options, ...(weights === undefined ? {} : { attributeWeights: weights }) },
  trainable: Effect.map(RewardModel, (reward) => ({ reward })),
  stepsPerEpoch: Effect.map(PreferenceData, ({ sampler }) => sampler.stepsPerEpoch),
  check: Effect.gen(function* () {
    const unfit = unfitWeights((yield* RewardModel).head, weights)
    if (unfit !== undefined) return yield* unfit
    const { heldOut, units } = yield* PreferenceData
    const reason = loss.needsStrengths === true ? withoutStrength([...units, ...heldOut]) : undefined
    if (reason !== undefined) return yield* new DataUnfit({ algorithm: loss.name, reason })
  }),
  experience: (position) =>
    Stream.unwrap(
      Effect.map(PreferenceData, (data) =>
        unitBatches(data.units, data.sampler, data.split, position).pipe(
          Stream.map((microBatches) => microBatches.map((units) => scoredPairs(data, units)))
        )
      )
    ),
  heldOut: Effect.map(PreferenceData, (data) =>
    splitUnits(data.heldOut, data.split).map((units) => scoredPairs(data, units))
  ),
  objective: pairwiseObjective(loss, weights)
})

const withoutStrength = (units: ReadonlyArray<PairUnit>): string | undefined => {
  const unrated = units.filter((unit) => Number.isNaN(strengthOf(unit)))
  if (unrated.length > 0) {
    const others = unrated.length === 1 ? "" : ` (nor do ${unrated.length - 1} others)`
    const fields = "preference_strength, margin, nor chosen_reward and rejected_reward"
    return `learns how strong preferences are, and ${unrated[0]!.origin} does not say: it has no ${fields}${others}`
  }
  const reversed = units.find((unit) => strengthOf(unit) < 0)
  return (
    reversed && `${reversed.origin} prefers the chosen response by ${strengthOf(reversed)}: strengths are 0 or more`
  )
}
