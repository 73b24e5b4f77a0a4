import { NonNegative, option, Positive } from "@plumbline/training"
import { Schema } from "effect"
import type { Builtin } from "../builtin.ts"
import { promptFiles, type PromptRow } from "../responses/prompt-data.ts"
import { opponentFields, runAgainstOpponent } from "./against-opponent.ts"
import { xpo } from "./xpo.ts"

export const XpoCommandOptions = Schema.Struct({
  ...opponentFields,
  beta: option(Positive, 0.1, "strength of the pull toward the reference policy"),
  exploration: option(NonNegative, 1e-5, "α: how much the policy is drawn away from what the reference writes")
})
export type XpoCommandOptions = typeof XpoCommandOptions.Type

/** `plumb xpo`: the model of a folder against its reference, response by response, with a bonus for exploring. */
export const xpoCommand: Builtin<typeof XpoCommandOptions, PromptRow> = {
  name: "xpo",
  options: XpoCommandOptions,
  data: () => promptFiles,
  generates: true,
  referenceUse: () => "every step",
  run: ({ beta, exploration, ...options }: XpoCommandOptions) =>
    runAgainstOpponent("xpo", options, {
      algorithm: (writing) => xpo({ ...writing, beta, exploration }),
      highlights: ["reward", "pairs/won"]
    })
}
