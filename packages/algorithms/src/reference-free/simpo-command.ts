import type { TokenizedPreference } from "@plumbline/data"
import { NonNegative, option, Positive } from "@plumbline/training"
import { Effect, Schema } from "effect"
import type { Builtin } from "../builtin.ts"
import { UnitShare } from "../command-fields.ts"
import { alphaPo } from "./alpha-po.ts"
import { referenceFreeFields, referenceFreeLoss } from "./reference-free-fields.ts"
import { openedPairFiles, runReferenceFree } from "./run-reference-free.ts"
import { simpo } from "./simpo.ts"

const simpoFields = {
  ...referenceFreeFields,
  beta: option(Positive, 0.1, "scale of the mean log-probs; TRL's default, the paper takes 2 to 2.5"),
  gamma: option(NonNegative, 0.5, "γ, by how much the chosen response's reward is to be the larger one"),
  labelSmoothing: option(UnitShare, 0, "share of pairs assumed mislabelled, below ½"),
  cpoAlpha: option(NonNegative, 0, "weight of the chosen responses' cross-entropy (CPO-SimPO)")
} as const

export const SimpoCommandOptions = Schema.Struct(simpoFields)
export type SimpoCommandOptions = typeof SimpoCommandOptions.Type

export const AlphaPoCommandOptions = Schema.Struct({
  ...simpoFields,
  alpha: option(Schema.Finite, 0.25, "α, the bend of the reward (1 − p^(−α))/α; not 0, which is simpo")
})
export type AlphaPoCommandOptions = typeof AlphaPoCommandOptions.Type

/** `plumb simpo`: simple preference optimization of the model of a folder. */
export const simpoCommand: Builtin<typeof SimpoCommandOptions, TokenizedPreference> = {
  name: "simpo",
  options: SimpoCommandOptions,
  data: () => openedPairFiles,
  referenceUse: () => "never",
  run: (options: SimpoCommandOptions) =>
    Effect.flatMap(
      referenceFreeLoss("simpo", options, (given) => simpo(simpoOptions(given))),
      (loss) => runReferenceFree(loss, options)
    )
}

/** `plumb alphapo`: SimPO with a bent reward. */
export const alphaPoCommand: Builtin<typeof AlphaPoCommandOptions, TokenizedPreference> = {
  name: "alphapo",
  options: AlphaPoCommandOptions,
  data: () => openedPairFiles,
  referenceUse: () => "never",
  run: (options: AlphaPoCommandOptions) =>
    Effect.flatMap(
      referenceFreeLoss("alphapo", options, (given) => alphaPo({ ...simpoOptions(given), alpha: given.alpha })),
      (loss) => runReferenceFree(loss, options)
    )
}

const simpoOptions = ({ beta, cpoAlpha, gamma, labelSmoothing }: SimpoCommandOptions) => ({
  beta,
  margin: gamma,
  labelSmoothing,
  imitationWeight: cpoAlpha
})
