import type { TokenizedPreference } from "@plumbline/data"
import { ReferencePolicy } from "@plumbline/models"
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
import { Effect, Schema } from "effect"
import type { Builtin } from "../builtin.ts"
import { fileFields } from "../command-fields.ts"
import { modelFiles, policyFolder, tokenizerOutput } from "../model-folder.ts"
import { alphaDivergence, type Divergence, forwardKl, jensenShannon, reverseKl } from "./divergence.ts"
import { dpo } from "./dpo.ts"
import { hinge } from "./hinge.ts"
import { ipo } from "./ipo.ts"
import { chosenCrossEntropy, mix, type WeightedLoss } from "./mix.ts"
import { preference } from "./preference.ts"
import { pairFiles, PreferenceData } from "./preference-data.ts"
import type { PreferenceLoss } from "./preference-loss.ts"
import { ReferenceLogProbs } from "./reference-log-probs.ts"

const LossName = Schema.Literals(["sigmoid", "ipo", "hinge", "sft"])

export const DpoOptions = Schema.Struct({
  ...fileFields,
  reference: optional(Schema.NonEmptyString, "folder of the reference policy (default: --model)"),
  loss: option(Schema.Array(LossName), ["sigmoid"], "loss, or several that are added; sft is the chosen cross-entropy"),
  lossWeights: optional(Schema.Array(NonNegative), "weight of each --loss (default: 1 each)"),
  beta: option(Positive, 0.1, "strength of the pull toward the reference policy"),
  labelSmoothing: option(
    Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 0.5, exclusiveMaximum: true })),
    0,
    "share of pairs assumed mislabelled (sigmoid)"
  ),
  fDivergence: option(
    Schema.Literals(["reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"]),
    "reverse_kl",
    "divergence from the reference policy"
  ),
  alpha: option(Schema.Finite, 0.5, "α of alpha_divergence; 1 is reverse_kl"),
  precomputeReference: option(
    Schema.Boolean,
    false,
    "reference log-probs once before training, kept in the store, instead of at every step"
  ),
  ...batchFields,
  ...optimizationFields,
  ...runFields,
  learningRate: option(Positive, 1e-6, "peak learning rate of AdamW")
})
export type DpoOptions = typeof DpoOptions.Type

/** `plumb dpo`: aligns the model of a folder with the preference pairs of a file. */
export const dpoCommand: Builtin<typeof DpoOptions, TokenizedPreference> = {
  name: "dpo",
  summary: "direct preference optimization and its relatives on chosen and rejected responses",
  options: DpoOptions,
  data: pairFiles,
  referenceUse: ({ precomputeReference }) => (precomputeReference ? "once" : "every step"),
  run: (options: DpoOptions) =>
    Effect.gen(function* () {
      const loss = yield* lossFromOptions(options)
      return yield* Effect.gen(function* () {
        return yield* runTraining({
          algorithm: preference(loss),
          options,
          inputs: inputFiles(options),
          extraFiles: yield* tokenizerOutput,
          highlights: ["rewards/accuracies", "rewards/margins"]
        })
      }).pipe(
        Effect.provide(options.precomputeReference ? ReferenceLogProbs.layerPrecomputed : ReferenceLogProbs.layer),
        Effect.provide([
          PreferenceData.layerFiles(options),
          ReferencePolicy.layerFromFolder(options.reference ?? options.model)
        ]),
        Effect.provide(policyFolder(options.model))
      )
    })
}

const inputFiles = (options: DpoOptions): ReadonlyArray<string> => [
  ...modelFiles(options.model),
  ...(options.reference === undefined ? [] : modelFiles(options.reference)),
  options.train,
  ...(options.eval === undefined ? [] : [options.eval])
]

type LossOptions = Pick<DpoOptions, "beta" | "labelSmoothing" | "fDivergence" | "alpha">

const losses: Readonly<Record<typeof LossName.Type, (options: LossOptions) => PreferenceLoss>> = {
  sigmoid: (options) => dpo({ ...options, divergence: divergenceOf(options) }),
  ipo: (options) => ipo({ ...options, divergence: divergenceOf(options) }),
  hinge: (options) => hinge({ ...options, divergence: divergenceOf(options) }),
  sft: () => chosenCrossEntropy
}

const divergences: Readonly<Record<DpoOptions["fDivergence"], (alpha: number) => Divergence>> = {
  reverse_kl: () => reverseKl,
  forward_kl: () => forwardKl,
  js_divergence: () => jensenShannon,
  alpha_divergence: (alpha) => (alpha === 1 ? reverseKl : alphaDivergence(alpha))
}

const divergenceOf = ({ alpha, fDivergence }: LossOptions): Divergence => divergences[fDivergence](alpha)

/** The loss that the flags describe; flags that no chosen loss reads are refused. */
export const lossFromOptions = Effect.fnUntraced(function* (
  options: LossOptions & Pick<DpoOptions, "loss" | "lossWeights">
) {
  const { loss: names, lossWeights = names.map(() => 1) } = options
  if (names.length === 0) return yield* new OptionsInvalid({ option: "--loss", reason: "names no loss" })
  if (lossWeights.length !== names.length) {
    return yield* new OptionsInvalid({
      option: "--loss-weights",
      reason: `${lossWeights.length} weights for ${names.length} losses`
    })
  }
  if (options.labelSmoothing > 0 && !names.includes("sigmoid")) {
    return yield* new OptionsInvalid({
      option: "--label-smoothing",
      reason: `is not read by --loss ${names.join(",")}`
    })
  }
  const parts = names.map((name, i): WeightedLoss => ({ loss: losses[name](options), weight: lossWeights[i]! }))
  const [first, ...rest] = parts
  return rest.length === 0 && first!.weight === 1 ? first!.loss : mix([first!, ...rest])
})
