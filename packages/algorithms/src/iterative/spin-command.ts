import type { TokenizedRow } from "@plumbline/data"
import {
  batchFields,
  optimizationFields,
  option,
  optional,
  Positive,
  PositiveInt,
  runFields,
  runTraining
} from "@plumbline/training"
import { Effect, Schema } from "effect"
import type { Builtin } from "../builtin.ts"
import { fileFields } from "../command-fields.ts"
import { inputFiles, policyFolder, referenceFolder, tokenizerOutput } from "../model-folder.ts"
import { ReferenceLogProbs } from "../preference/reference-log-probs.ts"
import { demonstrationFiles, SupervisedData } from "../supervised/supervised-data.ts"
import { referenceWriter } from "../responses/generator-layer.ts"
import { responseOptions, rolloutFields, ROWS, writingServer } from "../responses/rollout-fields.ts"
import { spin } from "./spin.ts"

export const SpinCommandOptions = Schema.Struct({
  ...fileFields,
  beta: option(
    Schema.NonEmptyArray(Positive),
    [0.1],
    "strength of the pull toward the opponent; several are of the iterations in turn, the last one of all that follow"
  ),
  iterationSteps: optional(PositiveInt, "steps after which the opponent becomes the policy (default: an epoch)"),
  ...rolloutFields,
  generatorUrl: writingServer("is sent the opponent's weights when an iteration begins and writes in its place"),
  ...batchFields,
  ...optimizationFields,
  ...runFields,
  monitor: option(Schema.String, "eval_logps/chosen", "metric that chooses the best checkpoint"),
  monitorMode: option(Schema.Literals(["min", "max"]), "max", "whether the best is the lowest or the highest"),
  learningRate: option(Positive, 5e-7, "peak learning rate of AdamW")
})
export type SpinCommandOptions = typeof SpinCommandOptions.Type

/** `plumb spin`: the model of a folder against itself on the demonstrations of a file. */
export const spinCommand: Builtin<typeof SpinCommandOptions, TokenizedRow> = {
  name: "spin",
  options: SpinCommandOptions,
  data: () => demonstrationFiles,
  generates: true,
  referenceUse: () => "moving",
  run: (options: SpinCommandOptions) =>
    Effect.gen(function* () {
      const { beta, iterationSteps = (yield* SupervisedData).sampler.stepsPerEpoch } = options
      return yield* runTraining({
        algorithm: spin({ ...responseOptions(options), beta, iterationSteps }),
        options,
        inputs: inputFiles({ ...options, reference: undefined }),
        extraFiles: yield* tokenizerOutput,
        highlights: ["rewards/accuracies", "rewards/margins"]
      })
    }).pipe(
      Effect.provide([ReferenceLogProbs.layer, referenceWriter(options, { rows: ROWS })]),
      Effect.provide([SupervisedData.layerFiles(options), referenceFolder(options, true)]),
      Effect.provide(policyFolder(options))
    )
}
