import { type CausalLM, Policy } from "@plumbline/models"
import { Processes } from "@plumbline/runtime"
import { type Algorithm, shareWork, splitUnits, unitBatches } from "@plumbline/training"
import { Effect, Stream } from "effect"
import { DataUnfit } from "../data-unfit.ts"
import { pairsAtFirst } from "./at-first.ts"
import type { PairBatch } from "./pair-batch.ts"
import { type PairUnit, PreferenceData } from "./preference-data.ts"
import type { PreferenceLoss } from "./preference-loss.ts"
import { preferenceObjective } from "./preference-objective.ts"
import { pairBatch, ReferenceLogProbs } from "./reference-log-probs.ts"

type Models = { readonly policy: CausalLM }

/**
 * Direct alignment on preference pairs: any `PreferenceLoss` on the log-ratios of policy and reference.
 *
 * With policy = reference both log-ratios are exactly 0. Fails with `DataUnfit` where the loss needs graded rewards and
 * a pair has none.
 */
export const preference = (
  loss: PreferenceLoss
): Algorithm<Models, PairBatch, DataUnfit, Policy | PreferenceData | ReferenceLogProbs> => ({
  name: loss.name,
  config: loss.options,
  trainable: Effect.map(Policy, (policy) => ({ policy })),
  atFirst: pairsAtFirst(loss),
  stepsPerEpoch: Effect.map(PreferenceData, ({ sampler }) => sampler.stepsPerEpoch),
  check: Effect.gen(function* () {
    const { heldOut, units } = yield* PreferenceData
    const ungraded = loss.needsRewards === true ? [...units, ...heldOut].filter((unit) => !isGraded(unit)) : []
    if (ungraded.length > 0) return yield* new DataUnfit({ algorithm: loss.name, reason: rewardsMissing(ungraded) })
  }),
  experience: (position) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const data = yield* PreferenceData
        return unitBatches(data.units, data.sampler, data.split, position).pipe(Stream.map(yield* batchMaker(loss)))
      })
    ),
  heldOut: Effect.gen(function* () {
    const data = yield* PreferenceData
    return (yield* batchMaker(loss))(splitUnits(data.heldOut, data.split))
  }),
  objective: preferenceObjective(loss)
})

const batchMaker = Effect.fnUntraced(function* ({ tailWeight }: PreferenceLoss) {
  const data = yield* PreferenceData
  const reference = yield* ReferenceLogProbs
  const processes = yield* Processes
  return (parts: ReadonlyArray<ReadonlyArray<PairUnit>>): ReadonlyArray<PairBatch> =>
    shareWork(processes, parts, (units) => pairBatch(data, units, reference, tailWeight))
})

const isGraded = ({ row }: PairUnit): boolean => row.chosenReward !== undefined && row.rejectedReward !== undefined

const rewardsMissing = (ungraded: ReadonlyArray<PairUnit>): string => {
  const others = ungraded.length === 1 ? "" : ` (nor have ${ungraded.length - 1} others)`
  return `learns from graded rewards, and ${ungraded[0]!.origin} has no chosen_reward and rejected_reward${others}`
}
