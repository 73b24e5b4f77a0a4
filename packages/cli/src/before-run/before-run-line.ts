import { optional } from "@plumbline/training"
import { Schema } from "effect"
import type { CommandLine } from "../command-line.ts"
import type { OptionSchema } from "../flags.ts"

/** What a command that looks at runs takes besides their options. */
export interface OwnOptions {
  readonly heading: string
  /** What it says of a run, before the run's own summary. */
  readonly says: string
  readonly fields: Schema.Struct.Fields
}

/** The command line of a run, as a command takes it that starts none. */
export const beforeRunLine = (
  line: CommandLine<OptionSchema>,
  { fields, heading, says }: OwnOptions
): CommandLine<OptionSchema> => ({
  ...line,
  usage: line.usage.replace(/(?<!\[)--output DIR/, "[--output DIR]"),
  summary: `${says}: ${line.summary}`,
  options: Schema.Struct({
    ...line.options.fields,
    output: optional(Schema.NonEmptyString, "folder of the run; nothing is written there"),
    ...fields
  }),
  group: (field) => (field in fields ? heading : line.group(field))
})
