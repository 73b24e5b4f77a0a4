import { namedWeights, openRewardModel, WeightedName } from "@plumbline/algorithms"
import { asMessages, attempt, loadPreferences, type PreferenceRecord, tokenizePreference } from "@plumbline/data"
import { type PairReport, pairReport, type PairScore, scoreRows, weightsInOrder } from "@plumbline/reward-model"
import { needed, option, optional, PositiveInt } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { machineFields, onMachine } from "../backend.ts"
import type { CommandLine } from "../command-line.ts"
import type { CommandRun } from "../command.ts"
import { parseCommand } from "../parse-command.ts"
import { modelFields } from "../model-input.ts"
import { readableRows, weightsFor } from "../reward-input.ts"
import { textTable } from "../table.ts"
import { print, printJson, textWidth } from "../terminal.ts"

const Options = Schema.Struct({
  model: needed(Schema.NonEmptyString, "folder of a reward model, in the Hugging Face layout of sequence classifiers"),
  adapter: modelFields.adapter,
  input: needed(
    Schema.NonEmptyString,
    "preference pairs: prompt, chosen, rejected and, as in RewardBench, subset; .jsonl, .jsonl.gz or .parquet"
  ),
  chat: option(Schema.Boolean, false, "take plain prompts and responses for turns of a chat"),
  attributeWeights: optional(
    Schema.Array(WeightedName),
    "what each attribute counts in the reward, as helpfulness=0.65,verbosity=-0.4 (default: all the same, adding up to 1)"
  ),
  batchTokens: option(PositiveInt, 16_384, "most tokens computed at once"),
  json: option(Schema.Boolean, false, "one JSON object"),
  ...machineFields
})

const line: CommandLine<typeof Options> = {
  name: "rm-eval",
  usage: "--model DIR --input FILE [--json]",
  summary: "accuracy and calibration of a reward model on preference pairs, by subset",
  arguments: [],
  options: Options,
  group: (field) => (field in machineFields ? "Machine" : "Options"),
  configFile: false
}

/** Prints how often a reward model prefers the chosen response, and how well it knows. */
export const rmEvalCommand: CommandRun = (argv) =>
  Effect.gen(function* () {
    const { options } = yield* parseCommand(line, argv)
    const given = yield* namedWeights(options.attributeWeights)
    const loaded = yield* loadPreferences(options.input)
    const records = options.chat ? loaded.map(asChat) : loaded
    yield* Effect.gen(function* () {
      const { model, tokenizer } = yield* openRewardModel(options)
      const weights = weightsInOrder(model.head, yield* weightsFor(model.head, given))
      const pairs = yield* attempt(() => records.map((record) => tokenizePreference(tokenizer, record)))
      const rows = pairs.flatMap(({ chosen, rejected }) => [chosen.ids, rejected.ids])
      yield* readableRows(
        model,
        records.flatMap((record) => [record, record]),
        rows
      )
      const scores = (yield* scoreRows(model, rows, options)).map((values) =>
        weights.reduce((sum, weight, k) => sum + weight * values[k]!, 0)
      )
      const report = pairReport(
        records.map(({ subset }, i) => ({ chosen: scores[2 * i]!, rejected: scores[2 * i + 1]!, subset }))
      )
      yield* options.json ? printJson(reportJson(report)) : print(reportText(report))
    }).pipe(Effect.scoped, onMachine(options))
  })

const asChat = (record: PreferenceRecord): PreferenceRecord => ({
  ...record,
  prompt: asMessages(record.prompt, "user"),
  chosen: asMessages(record.chosen, "assistant"),
  rejected: asMessages(record.rejected, "assistant")
})

const reportJson = ({ calibration, ...report }: PairReport) => ({
  ...report,
  calibration_error: calibration.error,
  calibration: calibration.bins
})

const reportText = (report: PairReport): string => {
  const { calibration, loss, sections, subsets } = report
  const row = (name: string, { accuracy, margin, pairs, ties }: PairScore) => [
    name,
    String(pairs),
    percent(accuracy),
    String(ties),
    margin.toFixed(4)
  ]
  const table = textTable(
    ["subset", "pairs", "accuracy", "ties", "margin"].map((title, i) => ({ title, align: i === 0 ? "left" : "right" })),
    [...Object.entries(subsets).map(([name, score]) => row(name, score)), row("all", report)],
    textWidth()
  )
  const bins = textTable(
    ["confidence", "pairs", "mean", "accuracy"].map((title) => ({ title, align: "right" })),
    calibration.bins.map(({ accuracy, confidence, from, pairs, to }) => [
      `${from.toFixed(2)}–${to.toFixed(2)}`,
      String(pairs),
      percent(confidence),
      percent(accuracy)
    ]),
    textWidth()
  )
  const scored = Object.entries(sections).map(([name, accuracy]) => `${name} ${percent(accuracy)}`)
  return [
    table,
    ...(scored.length === 0 ? [] : [`RewardBench: ${scored.join(", ")}`]),
    `loss ${loss.toFixed(4)} nats (ln 2 = 0.6931 knows nothing), calibration error ${percent(calibration.error)}`,
    bins
  ].join("\n\n")
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`
