import type { StepwiseRow } from "@plumbline/data"
import { batchFields, optimizationFields, option, runFields, runTraining } from "@plumbline/training"
import { Effect, Schema } from "effect"
import type { Builtin } from "../builtin.ts"
import { fileFields } from "../command-fields.ts"
import { tokenizerOutput } from "../model-folder.ts"
import { headFields, rewardFolder, rewardInputs } from "./head-options.ts"
import { processReward } from "./process.ts"
import { StepwiseData, stepwiseFiles } from "./reward-data.ts"

const { pooling: _, ...stepHeadFields } = headFields

export const ProcessOptions = Schema.Struct({
  ...fileFields,
  ...stepHeadFields,
  stepSeparator: option(Schema.NonEmptyString, "\n", "text after each step, on whose last token it is judged"),
  ...batchFields,
  ...optimizationFields,
  ...runFields
})
export type ProcessOptions = typeof ProcessOptions.Type

/** `plumb prm`: a process reward model from responses whose steps are judged. */
export const processCommand: Builtin<typeof ProcessOptions, StepwiseRow> = {
  name: "prm",
  options: ProcessOptions,
  data: ({ stepSeparator }) => stepwiseFiles(stepSeparator),
  referenceUse: () => "never",
  run: (options: ProcessOptions) =>
    Effect.gen(function* () {
      return yield* runTraining({
        algorithm: processReward,
        options,
        inputs: rewardInputs(options),
        extraFiles: yield* tokenizerOutput,
        highlights: ["accuracy"]
      })
    }).pipe(Effect.provide(StepwiseData.layerFiles(options)), Effect.provide(rewardFolder(options, undefined)))
}
