import { openRewardModel } from "@plumbline/algorithms"
import { attempt, loadJudged, readRows, tokenizeJudged } from "@plumbline/data"
import { scoreRows } from "@plumbline/reward-model"
import { needed, option, PositiveInt } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { machineFields, onMachine } from "../backend.ts"
import type { CommandLine } from "../command-line.ts"
import type { CommandRun } from "../command.ts"
import { parseCommand } from "../parse-command.ts"
import { modelFields } from "../model-input.ts"
import { readableRows } from "../reward-input.ts"
import { print } from "../terminal.ts"
import { writeRows } from "../write-rows.ts"

const Options = Schema.Struct({
  model: needed(Schema.NonEmptyString, "folder of an attribute model, as plumb rm-regression makes it"),
  adapter: modelFields.adapter,
  input: needed(Schema.NonEmptyString, "rows to grade: messages, or prompt + response or completion"),
  output: needed(Schema.NonEmptyString, "new JSONL file for the rows with their grades"),
  max: option(PositiveInt, 4, "best grade; grades are whole numbers from 0"),
  batchTokens: option(PositiveInt, 16_384, "most tokens computed at once"),
  ...machineFields
})

const line: CommandLine<typeof Options> = {
  name: "annotate",
  usage: "--model DIR --input FILE --output FILE",
  summary: "adds an attribute model's grades to rows, for plumb steerlm",
  arguments: [],
  options: Options,
  group: (field) => (field in machineFields ? "Machine" : "Options"),
  configFile: false
}

/** Writes rows with one number more for each attribute of the model, in place of what the row had under that name. */
export const annotateCommand: CommandRun = (argv) =>
  Effect.gen(function* () {
    const { options } = yield* parseCommand(line, argv)
    const { input, max, output } = options
    const raw = yield* readRows(input)
    const records = yield* loadJudged(input)
    yield* Effect.gen(function* () {
      const { model, tokenizer } = yield* openRewardModel(options)
      const rows = yield* attempt(() => records.map((record) => tokenizeJudged(tokenizer, record)))
      yield* readableRows(model, records, rows)
      const scores = yield* scoreRows(model, rows, options)
      const { attributes } = model.head
      const grades = (values: Float32Array) =>
        Object.fromEntries(attributes.map((name, k) => [name, grade(values[k]!, max)]))
      yield* writeRows(
        output,
        raw.map(({ value }, i) => ({ ...value, ...grades(scores[i]!) }))
      )
      yield* print(`${output}: ${raw.length} rows, each with ${attributes.join(", ")}`)
    }).pipe(Effect.scoped, onMachine(options))
  })

/** The nearest whole number in [0, max]. */
const grade = (score: number, max: number): number => Math.round(Math.min(max, Math.max(0, score)))
