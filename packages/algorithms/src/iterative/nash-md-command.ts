import { Generator } from "@plumbline/rollout-generation"
import {
  batchFields,
  optimizationFields,
  option,
  optional,
  Positive,
  runFields,
  runTraining
} from "@plumbline/training"
import { Effect, Layer, Schema } from "effect"
import type { Builtin } from "../builtin.ts"
import { trainFields, UnitShare } from "../command-fields.ts"
import { inputFiles, policyFolder, referenceFolder, tokenizerOutput } from "../model-folder.ts"
import { ReferenceLogProbs } from "../preference/reference-log-probs.ts"
import { PromptData, promptFiles, type PromptRow } from "../responses/prompt-data.ts"
import { evaluationFields, evaluationFrom } from "../responses/evaluation-fields.ts"
import { rewardFields, rewardLayer } from "../responses/reward-fields.ts"
import { responseOptions, rolloutFields } from "../responses/rollout-fields.ts"
import { better, bradleyTerry } from "./duel-preference.ts"
import { nashMd } from "./nash-md.ts"
import { OpponentGenerator } from "./opponent-generator.ts"

/** What `--preference` can name. */
const preferences = { better, bradley_terry: bradleyTerry } as const

export const NashMdCommandOptions = Schema.Struct({
  ...trainFields,
  ...rewardFields,
  reference: optional(Schema.NonEmptyString, "folder of the reference policy (default: the policy before training)"),
  beta: option(Positive, 0.1, "τ: strength of the pull toward the reference policy"),
  mixture: option(UnitShare, 0.125, "share of the reference in the opponent; 0 is play against oneself"),
  preference: option(
    Schema.Literals(Object.keys(preferences) as ReadonlyArray<keyof typeof preferences>),
    "better",
    "how rewards become a preference: the better response for sure, or by Bradley and Terry's odds"
  ),
  ...rolloutFields,
  ...batchFields,
  ...optimizationFields,
  ...runFields,
  ...evaluationFields,
  learningRate: option(Positive, 5e-7, "peak learning rate of AdamW")
})
export type NashMdCommandOptions = typeof NashMdCommandOptions.Type

/** `plumb nash-md`: the model of a folder against a mixture of itself and its reference. */
export const nashMdCommand: Builtin<typeof NashMdCommandOptions, PromptRow> = {
  name: "nash-md",
  summary: "policy gradient of winning against a mixture of the policy and its reference, to the Nash equilibrium",
  options: NashMdCommandOptions,
  data: promptFiles,
  generates: true,
  referenceUse: () => "every step",
  run: (options: NashMdCommandOptions) =>
    Effect.gen(function* () {
      const { beta, preference } = options
      const writing = responseOptions(options)
      const evaluation = yield* evaluationFrom(options, writing.sampling)
      return yield* runTraining({
        algorithm: { ...nashMd({ ...writing, beta, preference: preferences[preference] }), evaluation },
        options,
        inputs: inputFiles(options),
        extraFiles: yield* tokenizerOutput,
        highlights: ["preference", "kl"]
      })
    }).pipe(
      Effect.provide([
        ReferenceLogProbs.layer,
        OpponentGenerator.layerMixture(options.mixture, { maxRows: options.maxRows })
      ]),
      Effect.provide([
        rewardLayer("nash-md", options).pipe(Layer.provideMerge(PromptData.layerFiles(options))),
        referenceFolder(options),
        Generator.layerEngine({ maxRows: options.maxRows })
      ]),
      Effect.provide(policyFolder(options))
    )
}
