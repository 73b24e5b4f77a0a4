import { storedLine, topLogits } from "@plumbline/algorithms"
import {
  collate,
  loadSupervised,
  scoredCount,
  splitByTokens,
  supervisedDataset,
  type TokenizedRow
} from "@plumbline/data"
import type { CausalLM } from "@plumbline/models"
import {
  batchFields,
  needed,
  NonNegativeInt,
  option,
  optional,
  OptionsInvalid,
  PositiveInt,
  Progress
} from "@plumbline/training"
import { Effect, Schema } from "effect"
import { machineFields, onMachine } from "../backend.ts"
import type { CommandLine } from "../command-line.ts"
import type { CommandRun } from "../command.ts"
import { openResults, openWork, type Results } from "../generate/results.ts"
import { modelFields, openModel } from "../model-input.ts"
import { parseCommand } from "../parse-command.ts"

const { maxLength, overlong } = batchFields

const Options = Schema.Struct({
  model: needed(Schema.NonEmptyString, "folder of the teacher, in the Hugging Face layout"),
  adapter: modelFields.adapter,
  train: needed(Schema.NonEmptyString, "demonstrations: what the student will read"),
  output: needed(Schema.NonEmptyString, "JSONL file for rows and logits; a second run goes on where the first stopped"),
  topK: option(PositiveInt, 100, "most likely tokens of each position"),
  start: option(NonNegativeInt, 0, "first row, for a share of the file; rows are counted from 0"),
  end: optional(PositiveInt, "row to end before"),
  microBatchTokens: option(PositiveInt, 4096, "most tokens computed at once"),
  maxLength,
  overlong,
  ...machineFields
})
type Options = typeof Options.Type

const line: CommandLine<typeof Options> = {
  name: "teacher-logits",
  usage: "--model DIR --train FILE --output FILE [--top-k N]",
  summary:
    "writes, for every token that a student will learn, the teacher's K largest logits and the log-sum-exp of all, for plumb distill --train",
  arguments: [],
  options: Options,
  group: (field) => (field in machineFields ? "Machine" : "Options"),
  configFile: false
}

/** Runs a teacher over demonstrations and keeps what it says. */
export const teacherLogitsCommand: CommandRun = (argv) =>
  Effect.gen(function* () {
    const { options } = yield* parseCommand(line, argv)
    yield* writeAll(options).pipe(Effect.scoped, Effect.provide(Progress.layer), onMachine(options))
  })

/** With its number in the file, by which the shares of a file can be put together. */
interface NumberedRow extends TokenizedRow {
  readonly number: number
}

const writeAll = Effect.fnUntraced(function* (options: Options) {
  const { model, tokenizer } = yield* openModel(options)
  const records = yield* loadSupervised(options.train)
  const limit = { maxLength: Math.min(options.maxLength, model.contextTokens), policy: options.overlong }
  const share = records.slice(options.start, options.end)
  if (share.length === 0) return yield* emptyShare(options, records.length)
  const { records: numbers, rows: kept } = yield* supervisedDataset(tokenizer, share, limit)
  const rows = kept.map((row, i): NumberedRow => ({ ...row, number: options.start + numbers[i]! }))
  const results = yield* openResults(
    { ...options, samples: 1 },
    rows.map(({ ids }) => ids)
  )
  const open = yield* openWork(results, rows, ({ number }) => number)
  const task = yield* (yield* Progress).begin({ label: "teacher-logits", total: rows.length })
  let done = rows.length - open.length
  if (done > 0) yield* task.restart(done)
  const tokens = ({ ids }: NumberedRow) => ids.length
  for (const batch of splitByTokens(open, { tokens, budget: options.microBatchTokens })) {
    yield* writeBatch(model, tokenizer.padId, options.topK, batch, results)
    yield* task.advance((done += batch.length), {})
  }
})

const emptyShare = ({ end, start, train }: Options, rows: number) => {
  const option = start < rows ? "--end" : "--start"
  const reason = `rows ${start} to ${end ?? rows} are none of the ${rows} of ${train}`
  return Effect.fail(new OptionsInvalid({ option, reason }))
}

const writeBatch = Effect.fnUntraced(function* (
  model: CausalLM,
  padId: number,
  topK: number,
  batch: ReadonlyArray<NumberedRow>,
  results: Results
) {
  const teacher = topLogits(model, collate(batch, { layout: "packed", padId }), topK)
  let at = 0
  for (const row of batch) {
    const end = at + scoredCount(row) * teacher.k
    const part = { ...teacher, ids: teacher.ids.subarray(at, end), logProbs: teacher.logProbs.subarray(at, end) }
    yield* results.write(row.number, [storedLine(row.number, row, part)])
    at = end
  }
  // a turn of the event loop: signals and the progress line live there
  yield* Effect.promise(() => new Promise<void>((resume) => setImmediate(resume)))
})
