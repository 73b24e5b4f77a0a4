import type { Tokenizer } from "@plumbline/data"
import type { CausalLM, Policy, ReferencePolicy } from "@plumbline/models"
import type { Reward, RewardError } from "@plumbline/reward-model"
import type { GenerationError, Generator } from "@plumbline/rollout-generation"
import {
  type Algorithm,
  batchFields,
  type MicroBatch,
  optimizationFields,
  option,
  optional,
  Positive,
  runFields,
  runTraining
} from "@plumbline/training"
import { Effect, Layer, Schema } from "effect"
import { trainFields } from "../command-fields.ts"
import { inputFiles, policyFolder, referenceFolder, tokenizerOutput } from "../model-folder.ts"
import { ReferenceLogProbs } from "../preference/reference-log-probs.ts"
import { PromptData } from "../responses/prompt-data.ts"
import { evaluationFields, evaluationFrom } from "../responses/evaluation-fields.ts"
import { rewardFields, rewardLayer } from "../responses/reward-fields.ts"
import { policyWriter } from "../responses/generator-layer.ts"
import { responseOptions, rolloutFields, ROWS, writingServer } from "../responses/rollout-fields.ts"
import { OpponentGenerator } from "./opponent-generator.ts"

// What commands have in common whose policy's rewarded responses are held against those of an opponent near the reference.

export const opponentFields = {
  ...trainFields,
  ...rewardFields,
  reference: optional(Schema.NonEmptyString, "folder of the reference policy (default: the policy before training)"),
  ...rolloutFields,
  generatorUrl: writingServer(
    "is sent the new weights and writes the policy's responses, while this process writes the opponent's"
  ),
  ...batchFields,
  ...optimizationFields,
  ...runFields,
  ...evaluationFields,
  learningRate: option(Positive, 5e-7, "peak learning rate of AdamW")
} as const

type Flags = Schema.Struct<typeof opponentFields>["Type"]

interface Learning<B extends MicroBatch> {
  readonly algorithm: (
    writing: ReturnType<typeof responseOptions>
  ) => Algorithm<
    { readonly policy: CausalLM },
    B,
    GenerationError | RewardError,
    Policy | PromptData | Generator | OpponentGenerator | Reward | ReferenceLogProbs | ReferencePolicy | Tokenizer
  >
  readonly highlights: ReadonlyArray<string>
  /** Share of the reference in the opponent; the reference itself when absent. */
  readonly mixture?: number
}

export const runAgainstOpponent = <B extends MicroBatch>(
  command: string,
  options: Flags,
  { algorithm, highlights, mixture }: Learning<B>
) =>
  Effect.gen(function* () {
    const writing = responseOptions(options)
    const evaluation = yield* evaluationFrom(options, writing)
    return yield* runTraining({
      algorithm: { ...algorithm(writing), evaluation },
      options,
      inputs: inputFiles(options),
      extraFiles: yield* tokenizerOutput,
      highlights
    })
  }).pipe(
    Effect.provide([ReferenceLogProbs.layer, opponent(mixture, options)]),
    Effect.provide([
      rewardLayer(command, options).pipe(Layer.provideMerge(PromptData.layerFiles(options))),
      referenceFolder(options),
      policyWriter(options, { rows: ROWS, engineToo: true })
    ]),
    Effect.provide(policyFolder(options))
  )

const opponent = (mixture: number | undefined, { maxRows = ROWS }: Flags) =>
  mixture === undefined
    ? OpponentGenerator.layerReference({ maxRows })
    : OpponentGenerator.layerMixture(mixture, { maxRows })
