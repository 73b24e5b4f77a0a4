import type { TokenizedPreference } from "@plumbline/data"
import { NonNegative, option, OptionsInvalid, Positive } from "@plumbline/training"
import { Effect, Schema } from "effect"
import type { Builtin } from "../builtin.ts"
import { UnitShare } from "../command-fields.ts"
import { cpo, cpoHinge, cpoIpo, type CpoSigmoidOptions } from "./cpo.ts"
import { referenceFreeFields, referenceFreeLoss } from "./reference-free-fields.ts"
import type { ReferenceFreeLoss } from "./reference-free-loss.ts"
import { openedPairFiles, runReferenceFree } from "./run-reference-free.ts"

interface LossChoice {
  readonly make: (options: CpoSigmoidOptions) => ReferenceFreeLoss
  readonly smooths: boolean
}

/** What `--loss` can name. */
const losses = {
  sigmoid: { make: cpo, smooths: true },
  hinge: { make: cpoHinge, smooths: false },
  ipo: { make: cpoIpo, smooths: false }
} satisfies Readonly<Record<string, LossChoice>>

const LossName = Schema.Literals(Object.keys(losses) as ReadonlyArray<keyof typeof losses>)

export const CpoCommandOptions = Schema.Struct({
  ...referenceFreeFields,
  loss: option(LossName, "sigmoid", "loss on pairs; ipo takes mean log-probs"),
  beta: option(Positive, 0.1, "scale of the implicit rewards β·log π"),
  labelSmoothing: option(UnitShare, 0, "share of pairs assumed mislabelled, below ½ (sigmoid)"),
  cpoAlpha: option(NonNegative, 1, "weight of the chosen responses' cross-entropy")
})
export type CpoCommandOptions = typeof CpoCommandOptions.Type

/** `plumb cpo`: contrastive preference optimization of the model of a folder. */
export const cpoCommand: Builtin<typeof CpoCommandOptions, TokenizedPreference> = {
  name: "cpo",
  options: CpoCommandOptions,
  data: () => openedPairFiles,
  referenceUse: () => "never",
  run: (options: CpoCommandOptions) =>
    Effect.gen(function* () {
      const choice = losses[options.loss]
      if (options.labelSmoothing !== 0 && !choice.smooths) {
        const reason = `is not read by --loss ${options.loss}`
        return yield* new OptionsInvalid({ option: "--label-smoothing", reason })
      }
      const loss = yield* referenceFreeLoss("cpo", options, ({ beta, cpoAlpha, labelSmoothing }) =>
        choice.make({ beta, imitationWeight: cpoAlpha, labelSmoothing })
      )
      return yield* runReferenceFree(loss, options)
    })
}
