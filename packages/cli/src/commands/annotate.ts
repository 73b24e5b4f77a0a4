import { openRewardModel } from "@plumbline/algorithms"
import { attempt, loadJudged, type RawRow, readRows, tokenizeJudged } from "@plumbline/data"
import { scoreRows } from "@plumbline/reward-model"
import { needed, option, PositiveInt, Progress } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { machineFields, onMachine } from "../backend.ts"
import type { CommandLine } from "../command-line.ts"
import type { CommandRun } from "../command.ts"
import { inOrder, openResults, openWork } from "../generate/results.ts"
import { parseCommand } from "../parse-command.ts"
import { modelFields } from "../model-input.ts"
import { readableRows } from "../reward-input.ts"
import { print } from "../terminal.ts"

const Options = Schema.Struct({
  model: needed(Schema.NonEmptyString, "folder of an attribute model, as plumb rm-regression makes it"),
  adapter: modelFields.adapter,
  input: needed(Schema.NonEmptyString, "rows to grade: messages, or prompt + response or completion"),
  output: needed(
    Schema.NonEmptyString,
    "JSONL file for the rows with their grades; a second run goes on where the first stopped"
  ),
  max: option(PositiveInt, 4, "best grade; grades are whole numbers from 0"),
  batchTokens: option(PositiveInt, 16_384, "most tokens computed at once"),
  ...machineFields
})

type Options = typeof Options.Type

/** Rows that are graded at one time. */
const BATCH = 256

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
    yield* annotateAll(options).pipe(Effect.scoped, Effect.provide(Progress.layer), onMachine(options))
  })

const annotateAll = Effect.fnUntraced(function* (options: Options) {
  const { input, max, output } = options
  const raw = yield* readRows(input)
  const records = yield* loadJudged(input)
  const { model, tokenizer } = yield* openRewardModel(options)
  const rows = yield* attempt(() => records.map((record) => tokenizeJudged(tokenizer, record)))
  yield* readableRows(model, records, rows)
  const { attributes } = model.head
  const results = yield* openResults({ ...options, samples: 1 }, raw.map(rowKey), inOrder)
  const open = yield* openWork(results, [...rows.keys()], (row) => row)
  const task = yield* (yield* Progress).begin({ label: "annotate", total: rows.length })
  let done = rows.length - open.length
  if (done > 0) yield* task.restart(done)
  for (let at = 0; at < open.length; at += BATCH) {
    const batch = open.slice(at, at + BATCH)
    const own = batch.map((row) => rows[row]!)
    const scores = yield* scoreRows(model, own, options)
    for (const [i, row] of batch.entries()) {
      const grades = attributes.map((name, k) => [name, grade(scores[i]![k]!, max)] as const)
      yield* results.write(row, [JSON.stringify({ ...raw[row]!.value, ...Object.fromEntries(grades) })])
    }
    yield* task.advance((done += batch.length), {})
  }
  yield* print(`${output}: ${raw.length} rows, each with ${attributes.join(", ")}`)
})

/** All of a row is written again, and so decides whether a file can be gone on with. */
const rowKey = ({ value }: RawRow): Int32Array => Int32Array.from(Buffer.from(JSON.stringify(value)))

/** The nearest whole number in [0, max]. */
const grade = (score: number, max: number): number => Math.round(Math.min(max, Math.max(0, score)))
