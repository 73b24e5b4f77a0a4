import type { TokenizedRow } from "@plumbline/data"
import { batchFields, needed, optimizationFields, runFields, runTraining } from "@plumbline/training"
import { Effect, Layer, Schema } from "effect"
import type { Builtin } from "../builtin.ts"
import { fileFields } from "../command-fields.ts"
import { dataFromFiles } from "../data-file.ts"
import { inputFiles, policyFolder, tokenizerOutput } from "../model-folder.ts"
import { SupervisedData } from "../supervised/supervised-data.ts"
import { describeAttributes } from "./attribute-label.ts"
import { attributedFiles } from "./attributed-data.ts"
import { steerLm } from "./steerlm.ts"

export const SteerLmOptions = Schema.Struct({
  ...fileFields,
  attributes: needed(
    Schema.Array(Schema.NonEmptyString).check(Schema.isMinLength(1)),
    "grades that responses are conditioned on, as helpfulness,verbosity: numbers at the top of each row"
  ),
  ...batchFields,
  ...optimizationFields,
  ...runFields
})
export type SteerLmOptions = typeof SteerLmOptions.Type

/** `plumb steerlm`: teaches the model of a folder to write as the grades before a response say. */
export const steerLmCommand: Builtin<typeof SteerLmOptions, TokenizedRow> = {
  name: "steerlm",
  options: SteerLmOptions,
  data: ({ attributes }) => attributedFiles(attributes),
  referenceUse: () => "never",
  run: (options: SteerLmOptions) =>
    Effect.gen(function* () {
      return yield* runTraining({
        algorithm: steerLm(options.attributes),
        options,
        inputs: inputFiles({ ...options, reference: undefined }),
        extraFiles: { ...(yield* tokenizerOutput), ...describeAttributes(options.attributes) },
        highlights: ["mean_token_accuracy"]
      })
    }).pipe(
      Effect.provide(Layer.effect(SupervisedData, dataFromFiles(attributedFiles(options.attributes), options))),
      Effect.provide(policyFolder(options))
    )
}
