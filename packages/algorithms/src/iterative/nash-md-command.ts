import { option, Positive } from "@plumbline/training"
import { Schema } from "effect"
import type { Builtin } from "../builtin.ts"
import { UnitShare } from "../command-fields.ts"
import { promptFiles, type PromptRow } from "../responses/prompt-data.ts"
import { opponentFields, runAgainstOpponent } from "./against-opponent.ts"
import { better, bradleyTerry } from "./duel-preference.ts"
import { nashMd } from "./nash-md.ts"

/** What `--preference` can name. */
const preferences = { better, bradley_terry: bradleyTerry } as const

export const NashMdCommandOptions = Schema.Struct({
  ...opponentFields,
  beta: option(Positive, 0.1, "τ: strength of the pull toward the reference policy"),
  mixture: option(UnitShare, 0.125, "share of the reference in the opponent; 0 is play against oneself"),
  preference: option(
    Schema.Literals(Object.keys(preferences) as ReadonlyArray<keyof typeof preferences>),
    "better",
    "how rewards become a preference: the better response for sure, or by Bradley and Terry's odds"
  )
})
export type NashMdCommandOptions = typeof NashMdCommandOptions.Type

/** `plumb nash-md`: the model of a folder against a mixture of itself and its reference. */
export const nashMdCommand: Builtin<typeof NashMdCommandOptions, PromptRow> = {
  name: "nash-md",
  options: NashMdCommandOptions,
  data: () => promptFiles,
  generates: true,
  referenceUse: () => "every step",
  run: ({ beta, mixture, preference, ...options }: NashMdCommandOptions) =>
    runAgainstOpponent("nash-md", options, {
      algorithm: (writing) => nashMd({ ...writing, beta, preference: preferences[preference] }),
      highlights: ["preference", "kl"],
      mixture
    })
}
