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
import { Effect, Layer, Schema } from "effect"
import type { Builtin } from "../builtin.ts"
import { trainFields } from "../command-fields.ts"
import { inputFiles, policyFolder, referenceFolder, tokenizerOutput } from "../model-folder.ts"
import { pairLossFields } from "../preference/loss-fields.ts"
import { lossFromOptions } from "../preference/loss-table.ts"
import { ReferenceLogProbs } from "../preference/reference-log-probs.ts"
import { onlinePreference } from "./online-preference.ts"
import { PromptData, promptFiles, type PromptRow } from "../responses/prompt-data.ts"
import { evaluationFields, evaluationFrom } from "../responses/evaluation-fields.ts"
import { rewardFields, rewardLayer } from "../responses/reward-fields.ts"
import { policyWriter } from "../responses/generator-layer.ts"
import { responseOptions, rolloutFields, ROWS } from "../responses/rollout-fields.ts"

/** Options of commands whose pairs are made of judged responses. */
export const judgedPairFields = {
  ...trainFields,
  ...pairLossFields,
  ...rolloutFields,
  ...batchFields,
  ...optimizationFields,
  ...runFields,
  ...evaluationFields,
  learningRate: option(Positive, 5e-7, "peak learning rate of AdamW")
} as const

export const OnlineDpoCommandOptions = Schema.Struct({
  ...judgedPairFields,
  ...rewardFields,
  reference: optional(Schema.NonEmptyString, "folder of the reference policy (default: the policy before training)"),
  samples: option(PositiveInt, 2, "responses to each prompt; the best and the worst make a pair")
})
export type OnlineDpoCommandOptions = typeof OnlineDpoCommandOptions.Type

/** `plumb online-dpo`: the model of a folder learns from pairs of its own responses, judged as they are written. */
export const onlineDpoCommand: Builtin<typeof OnlineDpoCommandOptions, PromptRow> = {
  name: "online-dpo",
  options: OnlineDpoCommandOptions,
  data: () => promptFiles,
  generates: true,
  referenceUse: () => "every step",
  run: (options: OnlineDpoCommandOptions) =>
    Effect.gen(function* () {
      const loss = yield* lossFromOptions(options)
      const samples = yield* enoughSamples(options.samples)
      return yield* Effect.gen(function* () {
        const writing = responseOptions(options)
        const evaluation = yield* evaluationFrom(options, writing)
        return yield* runTraining({
          algorithm: { ...onlinePreference(loss, { ...writing, samples }), evaluation },
          options,
          inputs: inputFiles(options),
          extraFiles: yield* tokenizerOutput,
          highlights: ["reward", "rewards/margins"]
        })
      }).pipe(
        Effect.provide(ReferenceLogProbs.layer),
        Effect.provide([
          rewardLayer("online-dpo", options).pipe(Layer.provideMerge(PromptData.layerFiles(options))),
          referenceFolder(options),
          policyWriter(options, { rows: ROWS })
        ]),
        Effect.provide(policyFolder(options))
      )
    })
}

/** One response has nothing to be better than. */
export const enoughSamples = (samples: number): Effect.Effect<number, OptionsInvalid> =>
  samples >= 2
    ? Effect.succeed(samples)
    : Effect.fail(new OptionsInvalid({ option: "--samples", reason: "a pair needs two responses" }))
