import type { TokenizedPreference } from "@plumbline/data"
import { bradleyTerry, marginBradleyTerry, scaledBradleyTerry } from "@plumbline/reward-model"
import { NonNegative, optimizationFields, option, optional, runFields, runTraining } from "@plumbline/training"
import { Effect, Schema } from "effect"
import type { Builtin } from "../builtin.ts"
import { fileFields } from "../command-fields.ts"
import { tokenizerOutput } from "../model-folder.ts"
import { pairFiles } from "../preference/preference-data.ts"
import { headFields, rewardFolder, rewardInputs, scoredBatchFields } from "./head-options.ts"
import { namedWeights, WeightedName } from "./named-weights.ts"
import { pairwise } from "./pairwise.ts"
import { rewardPairs } from "./reward-data.ts"

/** What `--loss` can name. */
const losses = { bradley_terry: bradleyTerry, margin_bt: marginBradleyTerry, scaled_bt: scaledBradleyTerry }

const LossName = Schema.Literals(Object.keys(losses) as ReadonlyArray<keyof typeof losses>)

export const RmOptions = Schema.Struct({
  ...fileFields,
  ...headFields,
  loss: option(
    LossName,
    "bradley_terry",
    "bradley_terry takes the margin of rows that have one; margin_bt takes the strength of the preference for it; scaled_bt weighs pairs by it"
  ),
  centerRewardsCoefficient: option(NonNegative, 0, "weight of (r_chosen + r_rejected)², which keeps rewards around 0"),
  attributeWeights: optional(
    Schema.Array(WeightedName),
    "of a head with several attributes: what each counts in the score, as helpfulness=0.65,verbosity=-0.4"
  ),
  ...scoredBatchFields,
  ...optimizationFields,
  ...runFields
})
export type RmOptions = typeof RmOptions.Type

/** `plumb rm`: a reward model from the preference pairs of a file. */
export const rmCommand: Builtin<typeof RmOptions, TokenizedPreference> = {
  name: "rm",
  options: RmOptions,
  data: () => pairFiles,
  referenceUse: () => "never",
  run: (options: RmOptions) =>
    Effect.gen(function* () {
      const weights = yield* namedWeights(options.attributeWeights)
      const loss = losses[options.loss]({ centring: options.centerRewardsCoefficient })
      return yield* runTraining({
        algorithm: pairwise(loss, weights),
        options,
        inputs: rewardInputs(options),
        extraFiles: yield* tokenizerOutput,
        highlights: ["accuracy", "margin"]
      })
    }).pipe(Effect.provide(rewardPairs(options)), Effect.provide(rewardFolder(options, undefined)))
}
