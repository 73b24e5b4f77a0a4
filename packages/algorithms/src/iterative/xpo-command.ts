import { Generator } from "@plumbline/rollout-generation"
import {
  batchFields,
  NonNegative,
  optimizationFields,
  option,
  optional,
  Positive,
  runFields,
  runTraining
} from "@plumbline/training"
import { Effect, Layer, Schema } from "effect"
import type { Builtin } from "../builtin.ts"
import { trainFields } from "../command-fields.ts"
import { inputFiles, policyFolder, referenceFolder, tokenizerOutput } from "../model-folder.ts"
import { ReferenceLogProbs } from "../preference/reference-log-probs.ts"
import { PromptData, promptFiles, type PromptRow } from "../responses/prompt-data.ts"
import { OpponentGenerator } from "./opponent-generator.ts"
import { evaluationFields, evaluationFrom } from "../responses/evaluation-fields.ts"
import { rewardFields, rewardLayer } from "../responses/reward-fields.ts"
import { responseOptions, rolloutFields } from "../responses/rollout-fields.ts"
import { xpo } from "./xpo.ts"

export const XpoCommandOptions = Schema.Struct({
  ...trainFields,
  ...rewardFields,
  reference: optional(Schema.NonEmptyString, "folder of the reference policy (default: the policy before training)"),
  beta: option(Positive, 0.1, "strength of the pull toward the reference policy"),
  exploration: option(NonNegative, 1e-5, "α: how much the policy is drawn away from what the reference writes"),
  ...rolloutFields,
  ...batchFields,
  ...optimizationFields,
  ...runFields,
  ...evaluationFields,
  learningRate: option(Positive, 5e-7, "peak learning rate of AdamW")
})
export type XpoCommandOptions = typeof XpoCommandOptions.Type

/** `plumb xpo`: the model of a folder against its reference, response by response, with a bonus for exploring. */
export const xpoCommand: Builtin<typeof XpoCommandOptions, PromptRow> = {
  name: "xpo",
  summary: "online DPO of the policy's against the reference's responses, with a bonus for exploring",
  options: XpoCommandOptions,
  data: promptFiles,
  generates: true,
  referenceUse: () => "every step",
  run: (options: XpoCommandOptions) =>
    Effect.gen(function* () {
      const { beta, exploration } = options
      const writing = responseOptions(options)
      const evaluation = yield* evaluationFrom(options, writing.sampling)
      return yield* runTraining({
        algorithm: { ...xpo({ ...writing, beta, exploration }), evaluation },
        options,
        inputs: inputFiles(options),
        extraFiles: yield* tokenizerOutput,
        highlights: ["reward", "pairs/won"]
      })
    }).pipe(
      Effect.provide([ReferenceLogProbs.layer, OpponentGenerator.layerReference({ maxRows: options.maxRows })]),
      Effect.provide([
        rewardLayer("xpo", options).pipe(Layer.provideMerge(PromptData.layerFiles(options))),
        referenceFolder(options, false),
        Generator.layerEngine({ maxRows: options.maxRows })
      ]),
      Effect.provide(policyFolder(options))
    )
}
