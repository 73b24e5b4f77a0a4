import type { TokenizedPreference } from "@plumbline/data"
import {
  batchFields,
  optimizationFields,
  option,
  optional,
  OptionsInvalid,
  Positive,
  PositiveInt,
  runFields,
  runTraining
} from "@plumbline/training"
import { Effect, Schema } from "effect"
import type { Builtin } from "../builtin.ts"
import { fileFields, UnitShare } from "../command-fields.ts"
import { inputFiles, policyFolder, referenceFolder, tokenizerOutput } from "../model-folder.ts"
import { pairLossFields } from "./loss-fields.ts"
import { lossFromOptions } from "./loss-table.ts"
import { movingReference, type MovingReferenceOptions } from "./moving-reference.ts"
import { preference } from "./preference.ts"
import { pairFiles, PreferenceData } from "./preference-data.ts"
import type { PreferenceLoss } from "./preference-loss.ts"
import { ReferenceLogProbs } from "./reference-log-probs.ts"

export const DpoOptions = Schema.Struct({
  ...fileFields,
  reference: optional(Schema.NonEmptyString, "folder of the reference policy (default: the policy before training)"),
  ...pairLossFields,
  precomputeReference: option(
    Schema.Boolean,
    false,
    "reference log-probs once before training, kept in the store, instead of at every step"
  ),
  referenceSyncSteps: optional(PositiveInt, "steps after which the reference moves toward the policy (TR-DPO)"),
  referenceMixup: optional(
    UnitShare.check(Schema.isGreaterThan(0)),
    "share of the policy in the reference that has moved (TR-DPO; default: 0.6)"
  ),
  ...batchFields,
  ...optimizationFields,
  ...runFields,
  learningRate: option(Positive, 1e-6, "peak learning rate of AdamW")
})
export type DpoOptions = typeof DpoOptions.Type

/** `plumb dpo`: aligns the model of a folder with the preference pairs of a file. */
export const dpoCommand: Builtin<typeof DpoOptions, TokenizedPreference> = {
  name: "dpo",
  options: DpoOptions,
  data: () => pairFiles,
  referenceUse: ({ precomputeReference, referenceSyncSteps }) => {
    if (precomputeReference) return "once"
    return referenceSyncSteps === undefined ? "every step" : "moving"
  },
  run: (options: DpoOptions) =>
    Effect.gen(function* () {
      const loss = yield* lossFromOptions(options)
      const moves = yield* moving(options)
      const algorithm = preference(loss)
      const run = Effect.gen(function* () {
        return yield* runTraining({
          algorithm: moves === undefined ? algorithm : movingReference(algorithm, moves),
          options,
          inputs: inputFiles(options),
          extraFiles: yield* tokenizerOutput,
          highlights: ["rewards/accuracies", "rewards/margins"]
        })
      })
      return yield* run.pipe(
        Effect.provide(referenceLogProbs(options, loss)),
        Effect.provide([PreferenceData.layerFiles(options), referenceFolder(options, moves !== undefined)]),
        Effect.provide(policyFolder(options))
      )
    })
}

/** How the reference moves; nothing where it stays. */
const moving = ({
  precomputeReference,
  referenceMixup,
  referenceSyncSteps: every
}: DpoOptions): Effect.Effect<MovingReferenceOptions | undefined, OptionsInvalid> => {
  if (every === undefined && referenceMixup !== undefined) {
    const reason = "says how far the reference moves, and it does not: give --reference-sync-steps, too"
    return Effect.fail(new OptionsInvalid({ option: "--reference-mixup", reason }))
  }
  if (every !== undefined && precomputeReference) {
    const reason = "a reference that moves cannot be asked once: leave out this or --reference-sync-steps"
    return Effect.fail(new OptionsInvalid({ option: "--precompute-reference", reason }))
  }
  return Effect.succeed(every === undefined ? undefined : { every, mixup: referenceMixup ?? 0.6 })
}

const referenceLogProbs = (
  { precomputeReference }: DpoOptions,
  loss: PreferenceLoss
): ReturnType<typeof ReferenceLogProbs.layerPrecomputed> =>
  precomputeReference ? ReferenceLogProbs.layerPrecomputed(loss) : ReferenceLogProbs.layer
