import type { AnyBuiltin } from "@plumbline/algorithms/commands"
import { adapterFields } from "@plumbline/peft"
import { ShardingUnsupported } from "@plumbline/runtime"
import { batchFields, optimizationFields, runFields } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { machineFields } from "../backend.ts"
import type { CommandLine } from "../command-line.ts"
import type { CommandRun } from "../command.ts"
import type { OptionSchema } from "../flags.ts"
import { launched } from "../launch.ts"
import { parseCommand } from "../parse-command.ts"
import { absolutePaths, checkInputs } from "../path-options.ts"
import { isFirstProcess, sharedFields } from "../processes.ts"
import { reportRun } from "../report-run.ts"
import { runFlagFields, type RunSettings, withRunServices } from "../run-services.ts"
import { storeBeside } from "../store-file.ts"

const GROUPS: ReadonlyArray<readonly [string, object]> = [
  ["Files", { model: 0, train: 0, eval: 0, output: 0, store: 0, config: 0 }],
  ["Adapter", adapterFields],
  ["Batches", batchFields],
  ["Optimization", optimizationFields],
  ["Evaluation, checkpoints and time", { ...runFields, evalSamples: 0, evalTemperature: 0 }],
  ["Machine", { ...machineFields, ...sharedFields }]
]

/** The command line of an algorithm; `plan` takes the same. */
export const algorithmLine = (builtin: AnyBuiltin, prefix = ""): CommandLine<OptionSchema> => ({
  name: `${prefix}${builtin.name}`,
  usage: `--model DIR --train FILE --output DIR ${"eval" in builtin.options.fields ? "[--eval FILE] " : ""}[--option value…]`,
  summary: builtin.summary,
  arguments: [],
  options: Schema.Struct({ ...builtin.options.fields, ...runFlagFields }),
  group: (field) => GROUPS.find(([, fields]) => field in fields)?.[0] ?? "Algorithm",
  configFile: true
})

/** Trains with one built-in algorithm. */
export const trainCommand =
  (builtin: AnyBuiltin): CommandRun =>
  (argv) =>
    Effect.gen(function* () {
      const { encoded, options } = yield* parseCommand(algorithmLine(builtin), argv)
      const recorded = absolutePaths({ store: storeBeside(String(encoded["output"])), ...encoded })
      yield* startBuiltin(builtin, options, recorded, false)
    })

/** Fails where processes are to hold weights in parts that an engine of theirs would have to read whole. */
export const checkShardable = (
  { generates, name }: Pick<AnyBuiltin, "generates" | "name">,
  { sharding }: Pick<RunSettings, "sharding">
): Effect.Effect<void, ShardingUnsupported> =>
  sharding === "full" && generates === true
    ? Effect.fail(
        new ShardingUnsupported({ reason: `${name} writes responses, which needs the policy's weights whole` })
      )
    : Effect.void

/** Starts an algorithm, or goes on with it. @param options resolved; `invocation` is what run.json keeps of them */
export const startBuiltin = Effect.fnUntraced(function* (
  builtin: AnyBuiltin,
  options: OptionSchema["Type"],
  invocation: Readonly<Record<string, unknown>>,
  resume: boolean
) {
  const settings = options as unknown as RunSettings
  yield* checkInputs(options as Readonly<Record<string, unknown>>)
  yield* checkShardable(builtin, settings)
  if (yield* launched(settings.processes)) return
  const result = yield* builtin
    .run(options)
    .pipe(withRunServices({ settings, resume, invocation: { command: builtin.name, options: invocation } }))
  if (isFirstProcess()) yield* reportRun(settings.output, result)
})
