import type { UnpairedRow } from "@plumbline/data"
import {
  batchFields,
  NonNegative,
  optimizationFields,
  option,
  optional,
  OptionsInvalid,
  Positive,
  runFields,
  runTraining
} from "@plumbline/training"
import { Effect, Layer, Schema } from "effect"
import type { Builtin } from "../builtin.ts"
import { fileFields } from "../command-fields.ts"
import { dataFromFiles, type DataKind } from "../data-file.ts"
import type { LossInvalid } from "../loss-invalid.ts"
import { inputFiles, policyFolder, referenceFolder, tokenizerOutput } from "../model-folder.ts"
import { apoZeroUnpaired } from "./apo-zero-unpaired.ts"
import { bco } from "./bco.ts"
import { kto, type KtoOptions } from "./kto.ts"
import { openedUnpairedFiles, UnpairedData, unpairedFiles } from "./unpaired-data.ts"
import type { UnpairedLoss } from "./unpaired-loss.ts"
import { unpaired } from "./unpaired.ts"

interface LossChoice {
  readonly make: (options: KtoOptions) => UnpairedLoss
  readonly weighsClasses: boolean
  readonly data: DataKind<UnpairedRow>
}

/** What `--loss` can name. */
const losses = {
  kto: { make: kto, weighsClasses: true, data: unpairedFiles },
  apo_zero_unpaired: { make: apoZeroUnpaired, weighsClasses: true, data: unpairedFiles },
  bco: { make: bco, weighsClasses: false, data: openedUnpairedFiles }
} satisfies Readonly<Record<string, LossChoice>>

const LossName = Schema.Literals(Object.keys(losses) as ReadonlyArray<keyof typeof losses>)

export const KtoCommandOptions = Schema.Struct({
  ...fileFields,
  reference: optional(Schema.NonEmptyString, "folder of the reference policy (default: the policy before training)"),
  loss: option(LossName, "kto", "loss on responses judged one by one"),
  beta: option(Positive, 0.1, "strength of the pull toward the reference policy"),
  desirableWeight: option(NonNegative, 1, "λ_D, what a desirable response weighs; for classes of different size"),
  undesirableWeight: option(NonNegative, 1, "λ_U, what an undesirable response weighs"),
  ...batchFields,
  ...optimizationFields,
  ...runFields,
  learningRate: option(Positive, 1e-6, "peak learning rate of AdamW")
})
export type KtoCommandOptions = typeof KtoCommandOptions.Type

const filesOf = ({ loss }: KtoCommandOptions): DataKind<UnpairedRow> => losses[loss].data

/** `plumb kto`: aligns the model of a folder with responses judged good or bad. */
export const ktoCommand: Builtin<typeof KtoCommandOptions, UnpairedRow> = {
  name: "kto",
  options: KtoCommandOptions,
  data: filesOf,
  referenceUse: () => "every step",
  run: (options: KtoCommandOptions) =>
    Effect.gen(function* () {
      const loss = yield* lossOf(options)
      const run = Effect.gen(function* () {
        return yield* runTraining({
          algorithm: unpaired(loss),
          options,
          inputs: inputFiles(options),
          extraFiles: yield* tokenizerOutput,
          highlights: [loss.baseline.metric, "rewards/margins"]
        })
      })
      return yield* run.pipe(
        Effect.provide([
          Layer.effect(UnpairedData, dataFromFiles(filesOf(options), options)),
          referenceFolder(options)
        ]),
        Effect.provide(policyFolder(options))
      )
    })
}

const lossOf = (options: KtoCommandOptions): Effect.Effect<UnpairedLoss, LossInvalid | OptionsInvalid> => {
  const { desirableWeight, loss, undesirableWeight } = options
  const choice = losses[loss]
  const weighed = desirableWeight !== 1 ? "--desirable-weight" : undesirableWeight !== 1 ? "--undesirable-weight" : ""
  return weighed === "" || choice.weighsClasses
    ? Effect.try({ try: () => choice.make(options), catch: (cause) => cause as LossInvalid })
    : Effect.fail(new OptionsInvalid({ option: weighed, reason: `is not read by --loss ${loss}` }))
}
