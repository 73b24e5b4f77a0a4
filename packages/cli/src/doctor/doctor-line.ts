import { option, optional } from "@plumbline/training"
import { Schema } from "effect"
import type { CommandLine } from "../command-line.ts"
import type { OptionSchema } from "../flags.ts"
import { ACCEPTABLE } from "./report.ts"

const ownFields = {
  accept: optional(Schema.Array(Schema.Literals(ACCEPTABLE)), "checks whose refusal is meant: they are warnings then"),
  json: option(Schema.Boolean, false, "one JSON object")
} as const

/** What the doctor takes besides the options of a run. */
export interface DoctorOptions {
  readonly accept?: ReadonlyArray<(typeof ACCEPTABLE)[number]> | undefined
  readonly json: boolean
}

/** The command line of a run, as the doctor takes it. */
export const doctorLine = (line: CommandLine<OptionSchema>): CommandLine<OptionSchema> => ({
  ...line,
  usage: line.usage.replace(/(?<!\[)--output DIR/, "[--output DIR]"),
  summary: `what would go wrong with this run, before it is started: ${line.summary}`,
  options: Schema.Struct({
    ...line.options.fields,
    output: optional(Schema.NonEmptyString, "folder of the run: whether it could be made; nothing is written there"),
    ...ownFields
  }),
  group: (field) => (field in ownFields ? "Doctor" : line.group(field))
})
