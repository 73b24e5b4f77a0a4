import { ModelRuntime } from "@plumbline/runtime"
import { NonNegativeInt, option, optional, Positive, PositiveInt } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { machineFields, onMachine } from "../backend.ts"
import { knownPeak, type Peak } from "../bench/peak.ts"
import { measureScoring, type ScoringMeasurement } from "../bench/scoring.ts"
import { shapeNames, shapes } from "../bench/shapes.ts"
import { median } from "../bench/timing.ts"
import type { CommandLine } from "../command-line.ts"
import { parseCommand } from "../parse-command.ts"
import { print, printJson } from "../terminal.ts"

const Options = Schema.Struct({
  shape: option(Schema.Literals(shapeNames), "llama-tiny", "model, with random weights and a head"),
  rows: option(PositiveInt, 64, "rows to score"),
  length: option(PositiveInt, 256, "tokens of a row"),
  batchTokens: option(PositiveInt, 16_384, "most tokens computed at once"),
  clients: option(NonNegativeInt, 0, "clients that ask for the same rows over HTTP, one a request; 0 = none"),
  repeats: option(PositiveInt, 5, "times to score all rows, after one to warm up"),
  seed: option(Schema.Int, 0, "seed of weights and tokens"),
  peakTflops: optional(
    Positive,
    "TFLOP/s that speed is a share of (default: 989 for bfloat16 on cuda, else what matrix products reach here)"
  ),
  json: option(Schema.Boolean, false, "one JSON object"),
  ...machineFields
})
type Options = typeof Options.Type

export const REWARD_SUMMARY = "times scoring by a reward model, of rows at once and of clients over HTTP"

const line: CommandLine<typeof Options> = {
  name: "bench reward",
  usage: "[--shape NAME --rows N --length T --clients N] [--option value…]",
  summary: REWARD_SUMMARY,
  arguments: [],
  options: Options,
  group: (field) => (field in machineFields ? "Machine" : "Options"),
  configFile: false
}

/** Times scoring by a model of random weights. */
export const benchReward = Effect.fnUntraced(function* (argv: ReadonlyArray<string>) {
  const { options } = yield* parseCommand(line, argv)
  const known = knownPeak(options)
  yield* Effect.gen(function* () {
    const { backend, description } = yield* ModelRuntime
    const measured = yield* measureScoring({ ...options, shape: shapes[options.shape] }, known === undefined)
    const peak: Peak = known ?? { flopsPerSecond: measured.productRate!, source: "measured" }
    const machine = { backend, device: options.device, precision: options.precision }
    const all = figures(options, measured, peak)
    yield* options.json
      ? printJson({ bench: "reward", ...request(options), ...machine, engine: description, ...all })
      : print(text(description, options, all))
  }).pipe(Effect.scoped, onMachine(options))
})

const request = ({ batchTokens, clients, length, repeats, rows, seed, shape }: Options) => ({
  shape,
  rows,
  length,
  batch_tokens: batchTokens,
  clients,
  repeats,
  seed
})

const figures = ({ length, rows }: Options, measured: ScoringMeasurement, peak: Peak) => {
  const { flopsPerToken, parameters, seconds, servedSeconds } = measured
  const tokens = rows * length
  const flopsPerSecond = (flopsPerToken * tokens) / median(seconds)
  return {
    parameters,
    flops_per_token: flopsPerToken,
    seconds: { median: median(seconds), min: Math.min(...seconds), max: Math.max(...seconds) },
    tokens_per_second: tokens / median(seconds),
    flops_per_second: flopsPerSecond,
    peak: { flops_per_second: peak.flopsPerSecond, source: peak.source },
    share_of_peak: flopsPerSecond / peak.flopsPerSecond,
    served: servedSeconds.length === 0 ? null : served(tokens, measured)
  }
}

const served = (tokens: number, { seconds, servedSeconds }: ScoringMeasurement) => ({
  seconds: { median: median(servedSeconds), min: Math.min(...servedSeconds), max: Math.max(...servedSeconds) },
  tokens_per_second: tokens / median(servedSeconds),
  share_of_offline: median(seconds) / median(servedSeconds)
})

const text = (description: string, { clients, length, rows }: Options, all: ReturnType<typeof figures>): string => {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`
  const tera = (flops: number) => `${(flops / 1e12).toPrecision(4)} TFLOP/s`
  return [
    `engine   ${description}`,
    `model    ${(all.parameters / 1e6).toFixed(1)} M parameters`,
    `work     ${rows} rows of ${length} tokens, ${(all.flops_per_token / 1e9).toPrecision(4)} GFLOP a token`,
    `scoring  ${all.tokens_per_second.toFixed(0)} tokens/s, ${tera(all.flops_per_second)}: ${percent(all.share_of_peak)} of ${tera(all.peak.flops_per_second)} (${all.peak.source})`,
    `         ${all.seconds.min.toPrecision(3)} to ${all.seconds.max.toPrecision(3)} s`,
    ...(all.served === null
      ? []
      : [
          `serving  ${all.served.tokens_per_second.toFixed(0)} tokens/s to ${clients} clients: ${percent(all.served.share_of_offline)} of that`
        ])
  ].join("\n")
}
