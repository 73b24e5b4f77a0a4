import type { Reward } from "@plumbline/reward-model"
import type { Generator } from "@plumbline/rollout-generation"
import type { Policy } from "@plumbline/models"
import type { ModelRuntime } from "@plumbline/runtime"
import { option, optional, PositiveInt, runTraining, Share } from "@plumbline/training"
import type { Tokenizer } from "@plumbline/data"
import { Effect, Layer, Schema } from "effect"
import type { Builtin } from "../builtin.ts"
import { inputFiles, policyFolder, referenceFolder, tokenizerOutput } from "../model-folder.ts"
import { lossFromOptions } from "../preference/loss-table.ts"
import { ReferenceLogProbs } from "../preference/reference-log-probs.ts"
import { enoughSamples, judgedPairFields } from "./online-dpo-command.ts"
import { policyEngine } from "./opponent-engine.ts"
import { PromptData, promptFiles, type PromptRow } from "../responses/prompt-data.ts"
import { evaluationFrom } from "../responses/evaluation-fields.ts"
import { noRewardFlags, rewardFields, rewardLayer } from "../responses/reward-fields.ts"
import { referenceWriter } from "../responses/generator-layer.ts"
import { responseOptions, ROWS, writingServer } from "../responses/rollout-fields.ts"
import { selfJudgeFrom } from "./self-judge.ts"
import { selfRewarding } from "./self-rewarding.ts"

export const SelfRewardingCommandOptions = Schema.Struct({
  ...judgedPairFields,
  ...rewardFields,
  generatorUrl: writingServer(
    "is sent the weights when an iteration begins, writes and judges; --eval is answered in this process"
  ),
  reward: rewardFields.reward.annotate({
    description: "rules that judge in the model's place, added up (default: the model judges itself)"
  }),
  evaluations: option(PositiveInt, 3, "times that the model judges each response; the mean counts"),
  judgeNewTokens: option(PositiveInt, 256, "most tokens of a judgement"),
  samples: option(PositiveInt, 4, "responses to each prompt; the best and the worst make a pair"),
  lengthControl: option(Share, 0, "how far from the best and the worst a response may be for its length to decide"),
  iterationSteps: optional(
    PositiveInt,
    "steps after which writer, judge and reference become the policy (default: an epoch)"
  )
})
export type SelfRewardingCommandOptions = typeof SelfRewardingCommandOptions.Type

/** `plumb self-rewarding`: the model of a folder writes responses, judges them and learns from its judgement, iteration by iteration. */
export const selfRewardingCommand: Builtin<typeof SelfRewardingCommandOptions, PromptRow> = {
  name: "self-rewarding",
  options: SelfRewardingCommandOptions,
  data: () => promptFiles,
  generates: true,
  referenceUse: () => "moving",
  run: (options: SelfRewardingCommandOptions) =>
    Effect.gen(function* () {
      const loss = yield* lossFromOptions(options)
      const samples = yield* enoughSamples(options.samples)
      return yield* Effect.gen(function* () {
        const { iterationSteps = (yield* PromptData).sampler.stepsPerEpoch, lengthControl } = options
        const own = { ...responseOptions(options), samples, iterationSteps, lengthControl }
        const evaluation = yield* evaluationFrom(options, own, yield* policyEngine(options))
        return yield* runTraining({
          algorithm: { ...selfRewarding(loss, own), evaluation },
          options,
          inputs: inputFiles({ ...options, reference: undefined }),
          extraFiles: yield* tokenizerOutput,
          highlights: ["reward", "rewards/margins"]
        })
      }).pipe(
        Effect.scoped,
        Effect.provide([ReferenceLogProbs.layer, judge(options).pipe(Layer.provideMerge(writer(options)))]),
        Effect.provide([PromptData.layerFiles(options), referenceFolder(options, true)]),
        Effect.provide(policyFolder(options))
      )
    })
}

const writer = (options: SelfRewardingCommandOptions) =>
  referenceWriter(options, { rows: ROWS, engineToo: options.eval !== undefined })

/** Rules and reward models where there are any, else the model itself. */
const judge = (
  flags: SelfRewardingCommandOptions
): Layer.Layer<
  Reward,
  Layer.Error<ReturnType<typeof rewardLayer>>,
  Generator | Policy | PromptData | Tokenizer | ModelRuntime
> => {
  if (flags.reward !== undefined || flags.rewardModel !== undefined) return rewardLayer("self-rewarding", flags)
  return Layer.unwrap(Effect.as(noRewardFlags(flags), selfJudgeFrom(flags)))
}
