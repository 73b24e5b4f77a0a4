import { bracketedRating, bracketedVerdict, askForRating } from "@plumbline/reward-model"
import {
  type Algorithm,
  type MicroBatch,
  option,
  optional,
  PositiveInt,
  runTraining,
  Share,
  type Trainable
} from "@plumbline/training"
import { Effect, Layer, Schema } from "effect"
import type { Builtin } from "../../builtin.ts"
import { UnitShare } from "../../command-fields.ts"
import { inputFiles, policyFolder, referenceFolder, tokenizerOutput } from "../../model-folder.ts"
import { lossFromOptions } from "../../preference/loss-table.ts"
import { ReferenceLogProbs } from "../../preference/reference-log-probs.ts"
import { PromptData, promptFiles, type PromptRow } from "../../responses/prompt-data.ts"
import { referenceWriter } from "../../responses/generator-layer.ts"
import { responseOptions, ROWS, writingServer } from "../../responses/rollout-fields.ts"
import { evaluationFrom } from "../../responses/evaluation-fields.ts"
import { enoughSamples, judgedPairFields } from "../online-dpo-command.ts"
import { policyEngine } from "../opponent-engine.ts"
import { selfJudgeFrom } from "../self-judge.ts"
import { askForBetterJudgement } from "./meta-judge.ts"
import { metaRewarding } from "./meta-rewarding.ts"

export const MetaRewardingCommandOptions = Schema.Struct({
  ...judgedPairFields,
  generatorUrl: writingServer(
    "is sent the weights when an iteration begins, writes and judges; --eval is answered in this process"
  ),
  evaluations: option(PositiveInt, 5, "times that the model judges each response; the mean counts"),
  judgeNewTokens: option(PositiveInt, 256, "most tokens of a judgement, and of a verdict on two of them"),
  metaShare: option(
    UnitShare,
    1,
    "share of a step's prompts whose judgements are compared: where the judge is least sure"
  ),
  judgeIterations: optional(PositiveInt, "iterations that learn from judgements, too (default: all)"),
  samples: option(PositiveInt, 4, "responses to each prompt; the best and the worst make a pair"),
  lengthControl: option(Share, 0, "how far from the best and the worst a response may be for its length to decide"),
  iterationSteps: optional(
    PositiveInt,
    "steps after which actor, judge, meta-judge and reference become the policy (default: an epoch)"
  )
})
export type MetaRewardingCommandOptions = typeof MetaRewardingCommandOptions.Type

const SCALE = { min: 1, max: 10 }

const WORDS = {
  judge: { scale: SCALE, ask: askForRating, read: bracketedRating(SCALE) },
  metaJudge: { ask: askForBetterJudgement, read: bracketedVerdict }
}

/** `plumb meta-rewarding`: the model of a folder learns to answer and to judge from its own judgement of both. */
export const metaRewardingCommand: Builtin<typeof MetaRewardingCommandOptions, PromptRow> = {
  name: "meta-rewarding",
  options: MetaRewardingCommandOptions,
  data: () => promptFiles,
  generates: true,
  referenceUse: () => "moving",
  run: (options: MetaRewardingCommandOptions) =>
    Effect.gen(function* () {
      const loss = yield* lossFromOptions(options)
      const samples = yield* enoughSamples(options.samples)
      const { evaluations, judgeIterations, judgeNewTokens, lengthControl, metaShare, temperature } = options
      return yield* Effect.gen(function* () {
        const { iterationSteps = (yield* PromptData).sampler.stepsPerEpoch } = options
        const judging = { evaluations, judgeIterations, metaShare, ...WORDS }
        const judgeSampling = { maxNewTokens: judgeNewTokens, temperature }
        const acting = { ...responseOptions(options), samples, iterationSteps, lengthControl }
        const evaluation = yield* evaluationFrom(options, acting, yield* policyEngine(options))
        return yield* runTraining({
          algorithm: evaluated(metaRewarding(loss, { ...acting, ...judging, judgeSampling }), evaluation),
          options,
          inputs: inputFiles({ ...options, reference: undefined }),
          extraFiles: yield* tokenizerOutput,
          highlights: ["reward", "rewards/margins"]
        })
      }).pipe(
        Effect.scoped,
        // what answers to held-out prompts are worth
        Effect.provide([
          ReferenceLogProbs.layer,
          selfJudgeFrom(options).pipe(
            Layer.provideMerge(referenceWriter(options, { rows: ROWS, engineToo: options.eval !== undefined }))
          )
        ]),
        Effect.provide([PromptData.layerFiles(options), referenceFolder(options, true)]),
        Effect.provide(policyFolder(options))
      )
    })
}

/** The algorithm with an evaluation, whose needs and failures are more than its own. */
const evaluated = <M extends Trainable, B extends MicroBatch, E, R, E2, R2>(
  algorithm: Algorithm<M, B, E, R>,
  evaluation: NonNullable<Algorithm<M, B, E2, R2>["evaluation"]>
): Algorithm<M, B, E | E2, R | R2> => ({ ...algorithm, evaluation })
