import { loadTokenizer, type TokenizerShape } from "@plumbline/data"
import { RunStore } from "@plumbline/store"
import { NonNegativeInt, option, optional, PositiveInt } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { existsSync } from "node:fs"
import { join } from "node:path"
import type { CommandLine } from "../command-line.ts"
import type { CommandRun } from "../command.ts"
import { existingStore, storesOf } from "../find-store.ts"
import { parseCommand } from "../parse-command.ts"
import { recordedRun } from "../recorded-runs.ts"
import { recordJson, rolloutsText, rowText, SHADES, SORTS, sorted } from "../rollout-view.ts"
import { print, printJson, textWidth, usesColour } from "../terminal.ts"
import { UsageError } from "../usage-error.ts"

const Options = Schema.Struct({
  step: optional(PositiveInt, "responses that this step learnt from, and no later one (default: the newest rollout's)"),
  rollout: optional(NonNegativeInt, "responses of this rollout, counted from 0"),
  sort: option(Schema.Literals(SORTS), "row", "order of the table, the highest first but for row"),
  limit: option(PositiveInt, 50, "rows of the table"),
  row: optional(NonNegativeInt, "one response, token by token"),
  shade: option(
    Schema.Literals(SHADES),
    "advantage",
    "what colours its tokens: advantage, or the log-prob gap to the sampler, the old policy or the reference"
  ),
  store: optional(Schema.NonEmptyString, "SQLite file (default: plumbline.db beside the run, else of this folder)"),
  json: option(Schema.Boolean, false, "one JSON object a response, with everything by token")
})

const line: CommandLine<typeof Options> = {
  name: "rollouts",
  usage: "RUN [--step N] [--sort reward] [--row N]",
  summary: "what a run wrote, how it was judged and what was learnt from it",
  arguments: [{ name: "RUN", description: "folder of a run, or its name in the store" }],
  options: Options,
  group: () => "Options",
  configFile: false
}

/** Shows the responses of a rollout as a table, or one of them token by token. */
export const rolloutsCommand: CommandRun = (argv) =>
  Effect.gen(function* () {
    const { arguments: args, options } = yield* parseCommand(line, argv)
    const stores = options.store === undefined ? storesOf(args[0]!) : [options.store]
    yield* show(args[0]!, options).pipe(Effect.provide(existingStore(stores)))
  })

const show = Effect.fnUntraced(function* (wanted: string, options: typeof Options.Type) {
  const store = yield* RunStore
  const run = yield* recordedRun(wanted)
  const { rollout, row, step } = options
  const all = yield* store.rollouts(run.id, { rollout, step })
  const newest = all.reduce((most, record) => Math.max(most, record.rollout), -1)
  const records = rollout === undefined ? all.filter((record) => record.rollout === newest) : all
  if (records.length === 0) return yield* nothing(run.name, options)
  const chosen = row === undefined ? records : records.filter((record) => record.row === row)
  if (chosen.length === 0) {
    const problem = `--row: rollout ${newest} of ${run.name} has rows 0 to ${records.length - 1}`
    return yield* new UsageError({ problems: [problem], help: "plumb rollouts --help lists the options" })
  }
  if (options.json) return yield* Effect.forEach(chosen, (record) => printJson(recordJson(record)), { discard: true })
  yield* print(
    row === undefined
      ? rolloutsText(sorted(chosen, options.sort).slice(0, options.limit), textWidth())
      : rowText(chosen[0]!, { tokenizer: yield* tokenizerOf(run.folder), shade: options.shade, colours: colours() })
  )
})

const nothing = (name: string, { rollout, step }: typeof Options.Type) => {
  const asked = (step !== undefined && ` of step ${step}`) || (rollout !== undefined && ` of rollout ${rollout}`) || ""
  const problem = `run ${name} has no rollouts${asked}; only the newest are kept (--keep-rollouts), and only runs that write their own responses have any`
  return Effect.fail(new UsageError({ problems: [problem], help: "plumb rollouts --help lists the options" }))
}

/** The tokenizer that the run's newest model was saved with; none where there is no model yet. */
const tokenizerOf = Effect.fnUntraced(function* (folder: string) {
  const found = [join(folder, "final"), join(folder, "final", "policy")].find((at) =>
    existsSync(join(at, "tokenizer.json"))
  )
  const none: TokenizerShape | undefined = undefined
  return found === undefined ? none : yield* loadTokenizer(found)
})

const colours = (): boolean => usesColour(process.stdout)
