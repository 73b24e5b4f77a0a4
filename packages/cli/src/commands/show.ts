import { type RunRecord, RunStore } from "@plumbline/store"
import { option, optional } from "@plumbline/training"
import { Effect, Schema } from "effect"
import type { CommandLine } from "../command-line.ts"
import type { CommandRun } from "../command.ts"
import { existingStore, storesOf } from "../find-store.ts"
import { parseCommand } from "../parse-command.ts"
import { recordedRuns } from "../recorded-runs.ts"
import { runJson } from "../run-text.ts"
import { chartedByDefault, chartsText, metricNames, samplesText, summaryText } from "../run-view.ts"
import { suggestion } from "../suggest.ts"
import { print, printJson, textWidth } from "../terminal.ts"
import { UsageError } from "../usage-error.ts"

const Options = Schema.Struct({
  metric: optional(
    Schema.Array(Schema.String),
    "metrics to draw, separated by commas (default: loss, learning_rate, rewards/…)"
  ),
  samples: option(Schema.Boolean, false, "what the run generated, too"),
  store: optional(Schema.NonEmptyString, "SQLite file (default: plumbline.db beside the run, else of this folder)"),
  json: option(Schema.Boolean, false, "one JSON object a run, with its metrics by step")
})

const line: CommandLine<typeof Options> = {
  name: "show",
  usage: "RUN [--metric NAME,…] [--samples] [--json]",
  summary: "status, last metrics and charts of a run; of a recipe's folder, those of its stages",
  arguments: [{ name: "RUN", description: "folder of a run, or its name in the store" }],
  options: Options,
  group: () => "Options",
  configFile: false
}

/** Shows one run, or the stages of a recipe. */
export const showCommand: CommandRun = (argv) =>
  Effect.gen(function* () {
    const {
      arguments: [wanted],
      options
    } = yield* parseCommand(line, argv)
    const stores = options.store === undefined ? storesOf(wanted!) : [options.store]
    yield* Effect.flatMap(recordedRuns(wanted!), Effect.forEach(showRun(options), { discard: true })).pipe(
      Effect.provide(existingStore(stores))
    )
  })

const showRun = (options: typeof Options.Type) =>
  Effect.fnUntraced(function* (run: RunRecord) {
    const store = yield* RunStore
    const rows = yield* store.metrics(run.id)
    const names = metricNames(rows)
    const unknown = (options.metric ?? []).filter((name) => !names.includes(name))
    if (unknown.length > 0) {
      const problems = unknown.map((name) => `run ${run.name} has no metric "${name}"${suggestion(name, names)}`)
      return yield* new UsageError({
        problems: [...problems, `it has ${names.join(", ")}`],
        help: "plumb show --help lists the options"
      })
    }
    const samples = options.samples ? yield* store.samples(run.id) : undefined
    const checkpoints = yield* store.checkpoints(run.id)
    if (options.json) {
      const metrics = rows.map((row) => ({ step: row.step, ...row.metrics }))
      return yield* printJson({
        ...runJson(run),
        config: run.config,
        checkpoints,
        metrics,
        ...(samples && { samples })
      })
    }
    const width = textWidth()
    const charts = chartsText(rows, options.metric ?? chartedByDefault(names), width)
    const parts = [summaryText(run, rows, checkpoints, width), charts, samples && samplesText(samples, width)]
    yield* print(`${parts.filter((part) => part !== undefined && part !== "").join("\n\n")}\n`)
  })
