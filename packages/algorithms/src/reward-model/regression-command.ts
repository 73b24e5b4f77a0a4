import type { GradedRow } from "@plumbline/data"
import { HELPSTEER, RewardModel } from "@plumbline/reward-model"
import { optimizationFields, optional, OptionsInvalid, runFields, runTraining } from "@plumbline/training"
import { Effect, Schema } from "effect"
import type { Builtin } from "../builtin.ts"
import { fileFields } from "../command-fields.ts"
import { tokenizerOutput } from "../model-folder.ts"
import { headFields, rewardFolder, rewardInputs, scoredBatchFields } from "./head-options.ts"
import { attributeRegression } from "./regression.ts"
import { GradedData, ungradedFiles } from "./reward-data.ts"

export const RegressionOptions = Schema.Struct({
  ...fileFields,
  ...headFields,
  attributes: optional(
    Schema.Array(Schema.NonEmptyString).check(Schema.isMinLength(1)),
    `names of the grades, which a row has as numbers, or in this order as a list "label"; -100 is a missing one (default: those of the folder's head, else ${HELPSTEER.join(",")})`
  ),
  ...scoredBatchFields,
  ...optimizationFields,
  ...runFields
})
export type RegressionOptions = typeof RegressionOptions.Type

/** `plumb rm-regression`: a model of attributes from the graded rows of a file. */
export const regressionCommand: Builtin<typeof RegressionOptions, GradedRow> = {
  name: "rm-regression",
  options: RegressionOptions,
  data: () => ungradedFiles,
  referenceUse: () => "never",
  run: (options: RegressionOptions) =>
    Effect.gen(function* () {
      yield* sameAttributes(options.attributes)
      return yield* runTraining({
        algorithm: attributeRegression,
        options,
        inputs: rewardInputs(options),
        extraFiles: yield* tokenizerOutput
      })
    }).pipe(
      Effect.provide(GradedData.layerFiles(options)),
      Effect.provide(rewardFolder(options, options.attributes ?? HELPSTEER))
    )
}

/** A head that goes on keeps its attributes. */
const sameAttributes = Effect.fnUntraced(function* (wanted: ReadonlyArray<string> | undefined) {
  const { attributes } = (yield* RewardModel).head
  if (wanted === undefined || wanted.join() === attributes.join()) return
  const reason = `the folder's head scores ${attributes.join(",")}: leave it out, or give a --head of these`
  return yield* new OptionsInvalid({ option: "--attributes", reason })
})
