import {
  attempt,
  type Conversion,
  type ConversionTarget,
  type Converter,
  converters,
  type LeftOut,
  readRows
} from "@plumbline/data"
import { needed, optional } from "@plumbline/training"
import { Effect, Schema } from "effect"
import type { CommandLine } from "../command-line.ts"
import type { CommandRun } from "../command.ts"
import { parseCommand } from "../parse-command.ts"
import { print } from "../terminal.ts"
import { UsageError } from "../usage-error.ts"
import { writeRows } from "../write-rows.ts"

const targets: ReadonlyArray<ConversionTarget> = ["demonstrations", "attributes", "preferences"]

const Options = Schema.Struct({
  from: needed(Schema.Literals(converters.map(({ name }) => name)), "the published data set"),
  to: optional(Schema.Literals(targets), "what to make of it, where it can become several things"),
  input: needed(Schema.NonEmptyString, "a file of it as published: .jsonl, .json, each also with .gz, or .parquet"),
  output: needed(Schema.NonEmptyString, "new JSONL file for the rows")
})

const line: CommandLine<typeof Options> = {
  name: "convert",
  usage: "--from DATASET --input FILE --output FILE [--to WHAT]",
  summary:
    "makes rows to imitate, rows with grades, or pairs of a published data set, and says what it left out and why",
  arguments: [],
  options: Options,
  group: () => "Options",
  configFile: false
}

/** Reads a file of a published data set and writes rows that are trained on. */
export const convertCommand: CommandRun = (argv) =>
  Effect.gen(function* () {
    const { options } = yield* parseCommand(line, argv)
    const { from, input, output, to } = options
    const conversion = yield* conversionOf(
      converters.find(({ name }) => name === from)!,
      to
    )
    const rows = yield* readRows(input)
    const { leftOut, rows: made } = yield* attempt(() => conversion(rows))
    yield* writeRows(output, made)
    yield* print(`${output}: ${made.length} rows made of ${rows.length}`)
    for (const remark of reasons(leftOut)) yield* print(remark)
  })

const conversionOf = ({ makes, name }: Converter, to: ConversionTarget | undefined) => {
  const names = Object.keys(makes) as ReadonlyArray<ConversionTarget>
  const chosen = to ?? names[0]!
  const conversion: Conversion | undefined = makes[chosen]
  if (conversion !== undefined) return Effect.succeed(conversion)
  const problem = `${name} cannot become ${chosen}; it becomes ${names.join(" or ")}`
  return Effect.fail(new UsageError({ problems: [problem], help: "plumb convert --help lists the data sets" }))
}

/** How many were left out for each reason, and where the first one stood. */
const reasons = (leftOut: ReadonlyArray<LeftOut>): ReadonlyArray<string> =>
  [...Map.groupBy(leftOut, ({ reason }) => reason)].map(
    ([reason, all]) => `left out: ${all.length}, ${reason} (first: line ${all[0]!.origin.line})`
  )
