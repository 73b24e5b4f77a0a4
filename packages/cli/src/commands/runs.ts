import { type RunRecord, RunStore } from "@plumbline/store"
import { option, optional } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { join } from "node:path"
import type { CommandLine } from "../command-line.ts"
import type { CommandRun } from "../command.ts"
import { DEFAULT_STORES, existingStore } from "../find-store.ts"
import { parseCommand } from "../parse-command.ts"
import { statusOf } from "../run-status.ts"
import { moment, number, runJson, shownPath } from "../run-text.ts"
import { STORE_FILE } from "../store-file.ts"
import { textTable } from "../table.ts"
import { print, printJson, textWidth } from "../terminal.ts"
import { UsageError } from "../usage-error.ts"

const Options = Schema.Struct({
  store: optional(Schema.NonEmptyString, `SQLite file (default: ${DEFAULT_STORES.join(", else ")})`),
  folder: optional(Schema.NonEmptyString, `folder with a ${STORE_FILE}`),
  json: option(Schema.Boolean, false, "one JSON object a run")
})

const line: CommandLine<typeof Options> = {
  name: "runs",
  usage: "[--store FILE | --folder DIR] [--json]",
  summary: "the runs of a store, newest first",
  arguments: [],
  options: Options,
  group: () => "Options",
  configFile: false
}

/** Lists the runs of a store. */
export const runsCommand: CommandRun = (argv) =>
  Effect.gen(function* () {
    const { options } = yield* parseCommand(line, argv)
    const { folder, json, store } = options
    if (store !== undefined && folder !== undefined) {
      return yield* new UsageError({
        problems: ["give one of --store and --folder"],
        help: "plumb runs --help lists the options"
      })
    }
    const named = store ?? (folder === undefined ? undefined : join(folder, STORE_FILE))
    const runs = yield* Effect.flatMap(RunStore, (opened) => opened.runs()).pipe(
      Effect.provide(existingStore(named === undefined ? DEFAULT_STORES : [named]))
    )
    if (json) return yield* Effect.forEach(runs, (run) => printJson(runJson(run)), { discard: true })
    yield* print(runs.length === 0 ? "no runs yet" : runTable(runs))
  })

const runTable = (runs: ReadonlyArray<RunRecord>): string =>
  textTable(
    [
      { title: "run" },
      { title: "algorithm" },
      { title: "status" },
      { title: "step", align: "right" },
      { title: "loss", align: "right" },
      { title: "started" },
      { title: "folder" }
    ],
    runs.map((run) => [
      run.name,
      run.algorithm,
      statusOf(run),
      run.lastStep === null ? "" : String(run.lastStep),
      run.lastLoss === null ? "" : number(run.lastLoss),
      moment(run.startedAt),
      shownPath(run.folder)
    ]),
    textWidth()
  )
