import { Generator } from "@plumbline/rollout-generation"
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
import { Effect, Layer, Schema } from "effect"
import type { Builtin } from "../builtin.ts"
import { trainFields } from "../command-fields.ts"
import { inputFiles, policyFolder, referenceFolder, tokenizerOutput } from "../model-folder.ts"
import { ReferenceLogProbs } from "../preference/reference-log-probs.ts"
import { PromptData, promptFiles, type PromptRow } from "../responses/prompt-data.ts"
import { evaluationFields, evaluationFrom } from "../responses/evaluation-fields.ts"
import { rewardFields, rewardLayer } from "../responses/reward-fields.ts"
import { responseOptions, rolloutFields } from "../responses/rollout-fields.ts"
import { a2po } from "./a2po.ts"
import { OpponentGenerator } from "./opponent-generator.ts"

export const A2poCommandOptions = Schema.Struct({
  ...trainFields,
  ...rewardFields,
  reference: optional(Schema.NonEmptyString, "folder of the reference policy (default: the policy before training)"),
  beta: option(Positive, 1e-3, "β₂: reward that a nat from the reference policy is worth"),
  valueBeta: option(Positive, 0.5, "β₁: how far the best of the reference's responses decide what a prompt is worth"),
  referenceSamples: option(PositiveInt, 8, "responses of the reference that tell what a prompt is worth"),
  ...rolloutFields,
  ...batchFields,
  ...optimizationFields,
  ...runFields,
  ...evaluationFields,
  learningRate: option(Positive, 5e-7, "peak learning rate of AdamW")
})
export type A2poCommandOptions = typeof A2poCommandOptions.Type

/** `plumb a2po`: the log-ratios of a folder's model are regressed on advantages over what its reference could be. */
export const a2poCommand: Builtin<typeof A2poCommandOptions, PromptRow> = {
  name: "a2po",
  summary: "A*-PO: regresses log-ratios on advantages over the best policy near the reference",
  options: A2poCommandOptions,
  data: promptFiles,
  generates: true,
  referenceUse: () => "every step",
  run: (options: A2poCommandOptions) =>
    Effect.gen(function* () {
      const { beta, referenceSamples, valueBeta } = options
      const writing = responseOptions(options)
      const evaluation = yield* evaluationFrom(options, writing.sampling)
      return yield* runTraining({
        algorithm: { ...a2po({ ...writing, beta, referenceSamples, valueBeta }), evaluation },
        options,
        inputs: inputFiles(options),
        extraFiles: yield* tokenizerOutput,
        highlights: ["reward", "kl"]
      })
    }).pipe(
      Effect.provide([ReferenceLogProbs.layer, OpponentGenerator.layerReference({ maxRows: options.maxRows })]),
      Effect.provide([
        rewardLayer("a2po", options).pipe(Layer.provideMerge(PromptData.layerFiles(options))),
        referenceFolder(options),
        Generator.layerEngine({ maxRows: options.maxRows })
      ]),
      Effect.provide(policyFolder(options))
    )
}
