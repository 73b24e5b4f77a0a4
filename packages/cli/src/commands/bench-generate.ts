import { ModelRuntime } from "@plumbline/runtime"
import { option, PositiveInt } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { machineFields, onMachine } from "../backend.ts"
import { type GenerationMeasurement, measureGeneration } from "../bench/generation.ts"
import { shapeNames, shapes } from "../bench/shapes.ts"
import { median } from "../bench/timing.ts"
import type { CommandLine } from "../command-line.ts"
import { parseCommand } from "../parse-command.ts"
import { print, printJson } from "../terminal.ts"
import { UsageError } from "../usage-error.ts"

const Options = Schema.Struct({
  shape: option(Schema.Literals(shapeNames), "llama-tiny", "model, with random weights"),
  batch: option(PositiveInt, 64, "responses written at the same time"),
  samples: option(PositiveInt, 1, "responses to each prompt"),
  prompt: option(PositiveInt, 128, "tokens of a prompt"),
  newTokens: option(PositiveInt, 128, "tokens of a response"),
  repeats: option(PositiveInt, 3, "batches to time, after one to warm up"),
  seed: option(Schema.Int, 0, "seed of weights, prompts and samples"),
  json: option(Schema.Boolean, false, "one JSON object"),
  ...machineFields
})
type Options = typeof Options.Type

export const GENERATE_SUMMARY =
  "times generation: prompts read, then one token a row and step, sampled at temperature 1"

const line: CommandLine<typeof Options> = {
  name: "bench generate",
  usage: "[--shape NAME --batch N --prompt T --new-tokens T] [--option value…]",
  summary: GENERATE_SUMMARY,
  arguments: [],
  options: Options,
  group: (field) => (field in machineFields ? "Machine" : "Options"),
  configFile: false
}

/** Times the generation engine on random weights and prompts. */
export const benchGenerate = Effect.fnUntraced(function* (argv: ReadonlyArray<string>) {
  const { options } = yield* parseCommand(line, argv)
  const { batch, device, precision, samples, shape } = options
  if (batch % samples !== 0) {
    const problems = [`--samples: ${samples} does not divide --batch ${batch}`]
    return yield* new UsageError({ problems, help: "plumb bench generate --help lists the options" })
  }
  yield* Effect.gen(function* () {
    const { backend, description } = yield* ModelRuntime
    const bytesPerNumber = precision === "bfloat16" ? 2 : 4
    const measured = yield* measureGeneration({ ...options, shape: shapes[shape] }, bytesPerNumber)
    const machine = { backend, device, precision }
    yield* options.json
      ? printJson({
          bench: "generate",
          ...request(options),
          ...machine,
          engine: description,
          ...figures(options, measured)
        })
      : print(text(description, options, measured))
  }).pipe(Effect.scoped, onMachine(options))
})

const request = ({ batch, newTokens, prompt, repeats, samples, seed, shape }: Options) => ({
  shape,
  batch,
  samples,
  prompt,
  new_tokens: newTokens,
  repeats,
  seed
})

const figures = ({ batch, newTokens }: Options, measured: GenerationMeasurement) => {
  const { bytesPerStep, decodeStepSeconds, parameters, prefillSeconds, seconds } = measured
  return {
    parameters,
    seconds: { median: median(seconds), min: Math.min(...seconds), max: Math.max(...seconds) },
    tokens_per_second: (batch * newTokens) / median(seconds),
    prefill_seconds: prefillSeconds,
    decode_step_seconds: decodeStepSeconds,
    bytes_per_decode_step: bytesPerStep,
    bytes_per_second: decodeStepSeconds === null ? null : bytesPerStep / decodeStepSeconds
  }
}

const text = (description: string, options: Options, measured: GenerationMeasurement): string => {
  const { batch, newTokens, prompt, samples } = options
  const all = figures(options, measured)
  const ms = (seconds: number) => `${(seconds * 1e3).toFixed(2)} ms`
  return [
    `engine     ${description}`,
    `model      ${(all.parameters / 1e6).toFixed(1)} M parameters`,
    `work       ${batch} responses of ${newTokens} tokens to ${batch / samples} prompts of ${prompt}`,
    `generation ${all.tokens_per_second.toFixed(0)} tokens/s, prompts included (${ms(all.seconds.min)} to ${ms(all.seconds.max)})`,
    `prompts    ${ms(all.prefill_seconds)}, first token included`,
    `decoding   ${decoding(all)}`
  ].join("\n")
}

const decoding = (all: ReturnType<typeof figures>): string => {
  if (all.decode_step_seconds === null || all.bytes_per_second === null) return "too few steps to be timed"
  const step = `${(all.decode_step_seconds * 1e3).toFixed(2)} ms`
  const [read, speed] = [all.bytes_per_decode_step / 2 ** 20, all.bytes_per_second / 1e9]
  return `${step} a step; it reads ${read.toFixed(0)} MiB, so ${speed.toFixed(0)} GB/s`
}
