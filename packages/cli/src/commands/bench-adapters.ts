import { ModelRuntime } from "@plumbline/runtime"
import { option, PositiveInt } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { machineFields, onMachine } from "../backend.ts"
import { type AdapterMeasurement, measureAdapters } from "../bench/adapter-serving.ts"
import { shapeNames, shapes } from "../bench/shapes.ts"
import { median } from "../bench/timing.ts"
import type { CommandLine } from "../command-line.ts"
import { parseCommand } from "../parse-command.ts"
import { print, printJson } from "../terminal.ts"

const Options = Schema.Struct({
  shape: option(Schema.Literals(shapeNames), "llama-tiny", "model, with random weights"),
  adapters: option(PositiveInt, 4, "LoRA adapters on all linear layers of it"),
  loraRank: option(PositiveInt, 16, "rank of each"),
  batch: option(PositiveInt, 16, "responses written at the same time"),
  prompt: option(PositiveInt, 64, "tokens of a prompt"),
  newTokens: option(PositiveInt, 32, "tokens of a response"),
  repeats: option(PositiveInt, 3, "batches to time, after one to warm up; swaps are timed five times at least"),
  seed: option(Schema.Int, 0, "seed of weights, prompts and samples"),
  json: option(Schema.Boolean, false, "one JSON object"),
  ...machineFields
})
type Options = typeof Options.Type

export const ADAPTERS_SUMMARY = "times generation by several adapters on one model, and new weights for one of them"

const line: CommandLine<typeof Options> = {
  name: "bench adapters",
  usage: "[--shape NAME --adapters N --lora-rank R --batch N] [--option value…]",
  summary: ADAPTERS_SUMMARY,
  arguments: [],
  options: Options,
  group: (field) => (field in machineFields ? "Machine" : "Options"),
  configFile: false
}

/** Times the engine over adapters. */
export const benchAdapters = Effect.fnUntraced(function* (argv: ReadonlyArray<string>) {
  const { options } = yield* parseCommand(line, argv)
  const { device, json, precision, shape, ...work } = options
  yield* Effect.gen(function* () {
    const { backend, description } = yield* ModelRuntime
    const measured = yield* measureAdapters({ ...work, shape: shapes[shape] })
    const machine = { backend, device, precision, engine: description }
    yield* json
      ? printJson({ bench: "adapters", shape, ...request(options), ...machine, ...figures(measured) })
      : print(text(description, options, measured))
  }).pipe(Effect.scoped, onMachine(options))
})

const request = ({ adapters, batch, loraRank, newTokens, prompt, repeats, seed }: Options) => ({
  adapters,
  lora_rank: loraRank,
  batch,
  prompt,
  new_tokens: newTokens,
  repeats,
  seed
})

const figures = ({
  adapterParameters,
  firstTokenSeconds,
  parameters,
  stepSeconds,
  swapSeconds
}: AdapterMeasurement) => ({
  parameters,
  adapter_parameters: adapterParameters,
  decode_step_seconds: stepSeconds,
  request_seconds: median(firstTokenSeconds),
  request_after_swap_seconds: median(swapSeconds),
  swap_seconds: median(swapSeconds) - median(firstTokenSeconds)
})

const text = (description: string, { adapters, batch, loraRank }: Options, measured: AdapterMeasurement): string => {
  const all = figures(measured)
  const ms = (seconds: number) => `${(seconds * 1e3).toFixed(2)} ms`
  const { all: mixed, base, one } = all.decode_step_seconds
  return [
    `engine     ${description}`,
    `model      ${(all.parameters / 1e6).toFixed(1)} M parameters, held once`,
    `adapters   ${adapters} of rank ${loraRank}, ${(all.adapter_parameters / 1e6).toFixed(2)} M parameters each`,
    `decoding   ${batch} rows a step: ${ms(base)} without an adapter, ${ms(one)} with one, ${ms(mixed)} with ${adapters} in turn`,
    `request    ${ms(all.request_seconds)} for two tokens of one row`,
    `swap       ${ms(all.swap_seconds)} more where the adapter's weights are set to new ones before it`
  ].join("\n")
}
