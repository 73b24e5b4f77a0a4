import {
  batchFields,
  optimizationFields,
  option,
  OptionsInvalid,
  PositiveInt,
  runFields,
  runTraining
} from "@plumbline/training"
import { Effect, Layer, Schema } from "effect"
import type { Builtin } from "../builtin.ts"
import { trainFields } from "../command-fields.ts"
import { inputFiles, policyFolder, tokenizerOutput } from "../model-folder.ts"
import { PromptData, promptFiles, type PromptRow } from "../responses/prompt-data.ts"
import { rejectionSampling } from "./rejection-sampling.ts"
import { evaluationFields, evaluationFrom } from "../responses/evaluation-fields.ts"
import { rewardFields, rewardLayer } from "../responses/reward-fields.ts"
import { policyWriter } from "../responses/generator-layer.ts"
import { responseOptions, rolloutFields, ROWS } from "../responses/rollout-fields.ts"

export const RejectionSamplingCommandOptions = Schema.Struct({
  ...trainFields,
  ...rewardFields,
  samples: option(PositiveInt, 4, "responses to each prompt"),
  keep: option(PositiveInt, 1, "best responses of each prompt that are imitated"),
  ...rolloutFields,
  ...batchFields,
  ...optimizationFields,
  ...runFields,
  ...evaluationFields
})
export type RejectionSamplingCommandOptions = typeof RejectionSamplingCommandOptions.Type

/** `plumb rejection-sampling`: the model of a folder imitates the best of its own responses. */
export const rejectionSamplingCommand: Builtin<typeof RejectionSamplingCommandOptions, PromptRow> = {
  name: "rejection-sampling",
  options: RejectionSamplingCommandOptions,
  data: () => promptFiles,
  generates: true,
  referenceUse: () => "never",
  run: (options: RejectionSamplingCommandOptions) =>
    Effect.gen(function* () {
      const { keep, samples } = options
      if (keep > samples) {
        return yield* new OptionsInvalid({ option: "--keep", reason: `${keep} of ${samples} samples cannot be kept` })
      }
      return yield* Effect.gen(function* () {
        const writing = responseOptions(options)
        const evaluation = yield* evaluationFrom(options, writing)
        return yield* runTraining({
          algorithm: { ...rejectionSampling({ ...writing, samples, keep }), evaluation },
          options,
          inputs: inputFiles({ ...options, reference: undefined }),
          extraFiles: yield* tokenizerOutput,
          highlights: ["reward", "reward/kept"]
        })
      }).pipe(
        Effect.provide([
          policyWriter(options, { rows: ROWS }),
          rewardLayer("rejection-sampling", options).pipe(Layer.provideMerge(PromptData.layerFiles(options)))
        ]),
        Effect.provide(policyFolder(options))
      )
    })
}
