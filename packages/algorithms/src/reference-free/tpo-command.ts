import type { TokenizedTriple } from "@plumbline/data"
import { NonNegative, option, optional, OptionsInvalid, Positive, runTraining } from "@plumbline/training"
import { Effect, Schema } from "effect"
import type { Builtin } from "../builtin.ts"
import { UnitShare } from "../command-fields.ts"
import { inputFiles, policyFolder, tokenizerOutput } from "../model-folder.ts"
import { referenceFreeFields, referenceFreeLoss } from "./reference-free-fields.ts"
import type { ReferenceFreeLoss } from "./reference-free-loss.ts"
import { referenceFreeTriples } from "./reference-free.ts"
import { tpo, tpoNormalized, type TpoNormalizedOptions } from "./tpo.ts"
import { TripleData, tripleFiles } from "./triple-data.ts"

interface LossChoice {
  readonly make: (options: TpoNormalizedOptions) => ReferenceFreeLoss<TokenizedTriple>
  readonly hasMargin: boolean
}

/** What `--loss` can name. */
const losses = {
  sigmoid: { make: ({ margin: _, ...options }) => tpo(options), hasMargin: false },
  "tpo-l": { make: tpoNormalized, hasMargin: true }
} satisfies Readonly<Record<string, LossChoice>>

const LossName = Schema.Literals(Object.keys(losses) as ReadonlyArray<keyof typeof losses>)

export const TpoCommandOptions = Schema.Struct({
  ...referenceFreeFields,
  loss: option(LossName, "sigmoid", "loss on pairs; tpo-l takes mean log-probs with a margin"),
  beta: option(Positive, 0.01, "scale of the implicit rewards β·log π"),
  gamma: optional(NonNegative, "γ, by how much the chosen reward is to be the larger one (tpo-l; default: 0.5)"),
  labelSmoothing: option(UnitShare, 0, "share of pairs assumed mislabelled, below ½"),
  tpoAlpha: option(NonNegative, 1, "weight of the gold responses' cross-entropy")
})
export type TpoCommandOptions = typeof TpoCommandOptions.Type

/** `plumb tpo`: triple preference optimization of the model of a folder. */
export const tpoCommand: Builtin<typeof TpoCommandOptions, TokenizedTriple> = {
  name: "tpo",
  options: TpoCommandOptions,
  data: () => tripleFiles,
  referenceUse: () => "never",
  run: (options: TpoCommandOptions) =>
    Effect.gen(function* () {
      const choice = losses[options.loss]
      if (options.gamma !== undefined && !choice.hasMargin) {
        return yield* new OptionsInvalid({ option: "--gamma", reason: `is not read by --loss ${options.loss}` })
      }
      const loss = yield* referenceFreeLoss("tpo", options, ({ beta, gamma = 0.5, labelSmoothing, tpoAlpha }) =>
        choice.make({ beta, margin: gamma, labelSmoothing, imitationWeight: tpoAlpha })
      )
      return yield* runTriples(loss, options)
    })
}

const runTriples = (loss: ReferenceFreeLoss<TokenizedTriple>, options: TpoCommandOptions) =>
  Effect.gen(function* () {
    return yield* runTraining({
      algorithm: referenceFreeTriples(loss),
      options,
      inputs: inputFiles(options),
      extraFiles: yield* tokenizerOutput,
      highlights: ["rewards/accuracies", "nll_loss"]
    })
  }).pipe(Effect.provide(TripleData.layerFiles(options)), Effect.provide(policyFolder(options)))
