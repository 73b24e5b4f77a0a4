import { option, Positive, PositiveInt } from "@plumbline/training"
import { Schema } from "effect"
import type { Builtin } from "../builtin.ts"
import { promptFiles, type PromptRow } from "../responses/prompt-data.ts"
import { a2po } from "./a2po.ts"
import { opponentFields, runAgainstOpponent } from "./against-opponent.ts"

export const A2poCommandOptions = Schema.Struct({
  ...opponentFields,
  beta: option(Positive, 1e-3, "β₂: reward that a nat from the reference policy is worth"),
  valueBeta: option(Positive, 0.5, "β₁: how far the best of the reference's responses decide what a prompt is worth"),
  referenceSamples: option(PositiveInt, 8, "responses of the reference that tell what a prompt is worth")
})
export type A2poCommandOptions = typeof A2poCommandOptions.Type

/** `plumb a2po`: the log-ratios of a folder's model are regressed on advantages over what its reference could be. */
export const a2poCommand: Builtin<typeof A2poCommandOptions, PromptRow> = {
  name: "a2po",
  options: A2poCommandOptions,
  data: () => promptFiles,
  generates: true,
  referenceUse: () => "every step",
  run: ({ beta, referenceSamples, valueBeta, ...options }: A2poCommandOptions) =>
    runAgainstOpponent("a2po", options, {
      algorithm: (writing) => a2po({ ...writing, beta, referenceSamples, valueBeta }),
      highlights: ["reward", "kl"]
    })
}
