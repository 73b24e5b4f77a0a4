import type { Tokenizer } from "@plumbline/data"
import type { HeadMissing, LoadError, Policy } from "@plumbline/models"
import type { AdaptedError } from "@plumbline/peft"
import type { ModelRuntime } from "@plumbline/runtime"
import { overlong, Reward } from "@plumbline/reward-model"
import { OptionsInvalid, runTraining } from "@plumbline/training"
import { Effect, Layer, Schema, type Scope } from "effect"
import type { Builtin } from "../../builtin.ts"
import type { LossInvalid } from "../../loss-invalid.ts"
import { inputFiles, modelFiles, policyFolder, tokenizerOutput } from "../../model-folder.ts"
import type { CriticFailed } from "../critic/critic.ts"
import { type OnlineOptions, policyGradient, type PolicyGradientOptions } from "../policy-gradient.ts"
import { PromptData, promptFiles, type PromptRow } from "../../responses/prompt-data.ts"
import { evaluationFrom } from "../../responses/evaluation-fields.ts"
import { policyWriter } from "../../responses/generator-layer.ts"
import { rewardLayer } from "../../responses/reward-fields.ts"
import { type EstimatorName, onlineOptions, type OnlineFlags } from "./online-options.ts"
import { loopFields, penaltyFields, rolloutFields } from "./rollout-fields.ts"

const onlineFields = { ...rolloutFields, ...penaltyFields, ...loopFields }

interface OnlineCommand<Own extends Schema.Struct.Fields> {
  readonly name: string
  /** Flags besides those of all online algorithms, or instead of some of theirs. */
  readonly own: Own
  /** How the KL is estimated in the reward where nobody says it; "k1" when absent. */
  readonly estimatorInReward?: EstimatorName
  /** Folders of models that it reads besides. */
  readonly folders?: (flags: Schema.Struct<Own>["Type"]) => ReadonlyArray<string>
  /** The algorithm of the flags. */
  readonly algorithm: (
    flags: OnlineFlags & Schema.Struct<Own>["Type"],
    shared: OnlineOptions
  ) => Effect.Effect<
    PolicyGradientOptions,
    OptionsInvalid | LossInvalid | LoadError | HeadMissing | CriticFailed | AdaptedError,
    Policy | PromptData | Reward | Tokenizer | ModelRuntime | Scope.Scope
  >
}

/** A command that trains the model of a folder on its own responses to the prompts of a file. */
export const onlineCommand = <Own extends Schema.Struct.Fields>({
  algorithm,
  estimatorInReward = "k1",
  folders = () => [],
  name,
  own
}: OnlineCommand<Own>) => {
  const schema = Schema.Struct({ ...onlineFields, ...own })
  const command: Builtin<typeof schema, PromptRow> = {
    name,
    options: schema,
    data: () => promptFiles,
    generates: true,
    referenceUse: (options) => ((options as OnlineFlags).klCoefficient > 0 ? "every step" : "never"),
    run: (options) => {
      const flags = options as OnlineFlags & Schema.Struct<Own>["Type"]
      return Effect.gen(function* () {
        const shared = yield* onlineOptions(flags, estimatorInReward)
        const { generationTimeout: deadlineSeconds } = flags
        const evaluation = yield* evaluationFrom(flags, { sampling: shared.sampling, deadlineSeconds })
        const learning = policyGradient(yield* algorithm(flags, shared))
        return yield* runTraining({
          algorithm: { ...learning, evaluation },
          options: flags,
          inputs: [...new Set([...inputFiles(flags), ...folders(flags).flatMap(modelFiles)])],
          extraFiles: yield* tokenizerOutput,
          highlights: ["reward", "completions/mean_length"]
        })
      }).pipe(
        Effect.scoped,
        Effect.provide([
          policyWriter(flags, { rows: rowsOf(flags) }),
          rewards(name, flags).pipe(Layer.provideMerge(promptData(flags)))
        ]),
        Effect.provide(policyFolder(flags))
      )
    }
  }
  return command
}

const MOST_ROWS = 256

/** All responses of a rollout at the same time, unless they are very many. */
const rowsOf = ({ batchSize, rolloutBatches, samples }: OnlineFlags) =>
  Math.min(MOST_ROWS, batchSize * rolloutBatches * samples)

const promptData = (flags: OnlineFlags) =>
  PromptData.layerFiles({
    ...flags,
    batchSize: flags.batchSize * flags.rolloutBatches,
    microBatchSize: flags.microBatchSize ?? flags.batchSize * flags.samples
  })

const rewards = (name: string, flags: OnlineFlags): ReturnType<typeof rewardLayer> => {
  const { maxNewTokens: maxLength, overlongMargin: buffer, overlongPenalty: weight } = flags
  if (buffer === undefined) return rewardLayer(name, flags)
  if (buffer <= maxLength) return rewardLayer(name, flags, [overlong({ maxLength, buffer, weight })])
  const reason = `${buffer} tokens are more than --max-new-tokens ${maxLength}`
  return Layer.effect(Reward, Effect.fail(new OptionsInvalid({ option: "--overlong-margin", reason })))
}
