import type { TokenizedPreference } from "@plumbline/data"
import { option, Positive } from "@plumbline/training"
import { Effect, Schema } from "effect"
import type { Builtin } from "../builtin.ts"
import { orpo } from "./orpo.ts"
import { referenceFreeFields, referenceFreeLoss } from "./reference-free-fields.ts"
import { openedPairFiles, runReferenceFree } from "./run-reference-free.ts"

export const OrpoCommandOptions = Schema.Struct({
  ...referenceFreeFields,
  beta: option(Positive, 0.1, "weight of the odds ratio beside the cross-entropy (the paper's λ)")
})
export type OrpoCommandOptions = typeof OrpoCommandOptions.Type

/** `plumb orpo`: odds ratio preference optimization of the model of a folder. */
export const orpoCommand: Builtin<typeof OrpoCommandOptions, TokenizedPreference> = {
  name: "orpo",
  options: OrpoCommandOptions,
  data: () => openedPairFiles,
  referenceUse: () => "never",
  run: (options: OrpoCommandOptions) =>
    Effect.flatMap(
      referenceFreeLoss("orpo", options, ({ beta }) => orpo({ beta })),
      (loss) => runReferenceFree(loss, options)
    )
}
