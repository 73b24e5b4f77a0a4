import { alone, ModelRuntime, ShardingUnsupported } from "@plumbline/runtime"
import { optimizationFields, option, optional, Positive, PositiveInt } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { machineFields, onMachine } from "../backend.ts"
import { measureDispatch } from "../bench/dispatch.ts"
import { measure, type Measurement } from "../bench/measure.ts"
import { knownPeak, type Peak } from "../bench/peak.ts"
import { benchJson, benchText } from "../bench/report.ts"
import { shapeNames, shapes } from "../bench/shapes.ts"
import { preferenceWorkload, supervisedWorkload, type Task, type Workload } from "../bench/workloads.ts"
import type { CommandLine } from "../command-line.ts"
import type { CommandRun } from "../command.ts"
import type { OptionSchema } from "../flags.ts"
import { ADAPTERS_SUMMARY, benchAdapters } from "./bench-adapters.ts"
import { benchGenerate, GENERATE_SUMMARY } from "./bench-generate.ts"
import { benchGrpo, GRPO_SUMMARY } from "./bench-grpo.ts"
import { benchReward, REWARD_SUMMARY } from "./bench-reward.ts"
import { asksForHelp } from "../help.ts"
import { launched } from "../launch.ts"
import { parseCommand } from "../parse-command.ts"
import { isFirstProcess, joined, placeAmongProcesses, sharedFields } from "../processes.ts"
import { suggestion } from "../suggest.ts"
import { print, printJson } from "../terminal.ts"
import { TextRequested, UsageError } from "../usage-error.ts"

const fields = {
  shape: option(Schema.Literals(shapeNames), "llama-tiny", "model, with random weights"),
  batch: option(PositiveInt, 4, "rows a step, or pairs of rows"),
  microBatch: optional(PositiveInt, "rows or pairs at once (default: --batch, or a process's share of it)"),
  length: option(PositiveInt.check(Schema.isGreaterThan(1)), 256, "tokens of a row"),
  steps: option(PositiveInt, 10, "steps to time"),
  warmup: option(PositiveInt, 3, "steps before them"),
  seed: option(Schema.Int, 0, "seed of weights and tokens"),
  loraRank: optional(
    PositiveInt,
    "rank of adapters on all linear layers of a frozen model (default: all weights are trained)"
  ),
  quantised: option(Schema.Boolean, false, "linear layers below the adapters in 4 bits (NF4); with --lora-rank"),
  activationCheckpointing: optimizationFields.activationCheckpointing,
  peakTflops: optional(
    Positive,
    "TFLOP/s that speed is a share of (default: 989 for bfloat16 on cuda, else what matrix products reach here)"
  ),
  json: option(Schema.Boolean, false, "one JSON object")
}

interface Kind {
  readonly summary: string
  readonly fields: Schema.Struct.Fields
  readonly workload: (task: Task) => Workload
}

const kinds: Readonly<Record<string, Kind>> = {
  train: {
    summary: "times steps of supervised fine-tuning: forward, backward, clipping, AdamW",
    fields: {},
    workload: supervisedWorkload
  },
  dpo: {
    summary: "times steps of direct preference optimization; half of each row is the prompt",
    fields: {
      precomputeReference: option(Schema.Boolean, false, "reference log-probs before the first step, not in every one")
    },
    workload: preferenceWorkload
  }
}

const Options = Schema.Struct({ ...fields, ...machineFields, ...sharedFields })
type Options = typeof Options.Type & { readonly precomputeReference?: boolean }

/** Benches with lines of their own. */
const others = {
  adapters: { summary: ADAPTERS_SUMMARY, run: benchAdapters },
  generate: { summary: GENERATE_SUMMARY, run: benchGenerate },
  grpo: { summary: GRPO_SUMMARY, run: benchGrpo },
  reward: { summary: REWARD_SUMMARY, run: benchReward }
} as Readonly<Record<string, { readonly summary: string; readonly run: CommandRun }>>

const names = [...Object.keys(kinds), ...Object.keys(others)]
const USAGE = `${names.join("|")} [--shape NAME --batch N --length T] [--option value…]`

/** Times training steps on random weights and tokens. */
export const benchCommand: CommandRun = (words) =>
  Effect.gen(function* () {
    if (asksForHelp(words)) return yield* new TextRequested({ text: generalHelp })
    const [name, ...argv] = words
    const own = others[name ?? ""]
    if (own !== undefined) return yield* own.run(argv)
    const kind = kinds[name ?? ""]
    if (name === undefined || kind === undefined) {
      const problem =
        name === undefined || name.startsWith("-")
          ? `what to time comes first: plumb bench ${USAGE}`
          : `there is no bench "${name}"${suggestion(name, names)}`
      return yield* new UsageError({ problems: [problem], help: `benches: ${names.join(", ")}` })
    }
    const { options } = yield* parseCommand(benchLine(name, kind), argv)
    if (yield* launched((options as unknown as Options).processes)) return
    yield* runBench(name, kind, options as unknown as Options)
  })

const generalHelp = `plumb bench ${USAGE}

How fast this machine trains, generates or scores with a model of random weights on random tokens.
${names.map((name) => `  ${name.padEnd(9)}${(kinds[name] ?? others[name])!.summary}`).join("\n")}
plumb bench ${names[0]} --help lists the options.`

const benchLine = (name: string, kind: Kind): CommandLine<OptionSchema> => ({
  name: `bench ${name}`,
  usage: "[--shape NAME --batch N --length T] [--option value…]",
  summary: kind.summary,
  arguments: [],
  options: Schema.Struct({ ...fields, ...kind.fields, ...machineFields, ...sharedFields }),
  group: (field) => (field in machineFields || field in sharedFields ? "Machine" : "Options"),
  configFile: false
})

const runBench = Effect.fnUntraced(function* (name: string, { workload }: Kind, options: Options) {
  const { activationCheckpointing, batch, length, loraRank, quantised, seed, shape, steps, warmup } = options
  const { precomputeReference = false } = options
  const place = yield* placeAmongProcesses()
  const size = place?.size ?? 1
  const { microBatch = Math.ceil(batch / size) } = options
  if (quantised && loraRank === undefined) {
    return yield* new UsageError({
      problems: ["--quantised is for the model below adapters: give --lora-rank, too"],
      help: `plumb bench ${name} --help lists the options`
    })
  }
  if (quantised && options.sharding === "full") {
    return yield* new ShardingUnsupported({ reason: "matrices in 4 bits cannot be held in parts yet" })
  }
  const numbers = { batch, microBatch, length, seed }
  const task: Omit<Task, "processes"> = {
    shape: shapes[shape],
    ...numbers,
    precomputeReference,
    loraRank,
    quantised,
    activationCheckpointing
  }
  const request = {
    bench: name,
    shape,
    batch,
    micro_batch: microBatch,
    length,
    steps,
    seed,
    ...(size === 1 ? {} : { processes: size, sharding: options.sharding }),
    activation_checkpointing: activationCheckpointing,
    ...(loraRank === undefined ? {} : { lora_rank: loraRank, quantised }),
    ...("precomputeReference" in options ? { precompute_reference: precomputeReference } : {})
  }
  const known = knownPeak(options)
  const result = yield* Effect.gen(function* () {
    const runtime = yield* ModelRuntime
    const { backend, description } = runtime
    const subject = workload({ ...task, processes: yield* joined(place, options) })
    const measurement = measure(subject, { warmup, steps, withProducts: known === undefined, gauges: runtime })
    subject.dispose()
    const dispatch = measureDispatch(workload, { ...task, processes: alone }, runtime)
    const one = known ?? measuredPeak(measurement)
    const peak = { ...one, flopsPerSecond: one.flopsPerSecond * size }
    const machine = { backend, device: options.device, precision: options.precision }
    return { request: { ...request, ...machine }, description, measurement, dispatch, peak }
  }).pipe(Effect.scoped, onMachine(options))
  if (!isFirstProcess()) return
  yield* options.json ? printJson(benchJson(result)) : print(benchText(result))
})

const measuredPeak = ({ productRate }: Measurement): Peak => ({ flopsPerSecond: productRate!, source: "measured" })
