import { ModelRuntime } from "@plumbline/runtime"
import { option, optional, PositiveInt } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { machineFields, onMachine } from "../backend.ts"
import { measureGrpo, type RolloutMeasurement, type StepTimes } from "../bench/policy-gradient.ts"
import { shapeNames, shapes } from "../bench/shapes.ts"
import { median } from "../bench/timing.ts"
import type { CommandLine } from "../command-line.ts"
import { parseCommand } from "../parse-command.ts"
import { print, printJson } from "../terminal.ts"

const Options = Schema.Struct({
  shape: option(Schema.Literals(shapeNames), "llama-tiny", "model, with random weights"),
  prompts: option(PositiveInt, 8, "prompts of a step"),
  samples: option(PositiveInt, 4, "responses to each prompt"),
  promptTokens: option(PositiveInt, 64, "tokens of a prompt"),
  maxNewTokens: option(PositiveInt, 64, "tokens of a response"),
  maxRows: optional(PositiveInt, "responses written at the same time (default: all)"),
  microBatchTokens: option(PositiveInt, 16_384, "most tokens computed at once in the update"),
  activationCheckpointing: option(Schema.Boolean, false, "compute blocks again in the backward pass: less memory"),
  repeats: option(PositiveInt, 3, "steps to time, after one to warm up"),
  seed: option(Schema.Int, 0, "seed of weights, prompts and samples"),
  json: option(Schema.Boolean, false, "one JSON object"),
  ...machineFields
})
type Options = typeof Options.Type

export const GRPO_SUMMARY = "times GRPO steps: responses written, judged by a rule, learnt from"

const line: CommandLine<typeof Options> = {
  name: "bench grpo",
  usage: "[--shape NAME --prompts N --samples N --max-new-tokens T] [--option value…]",
  summary: GRPO_SUMMARY,
  arguments: [],
  options: Options,
  group: (field) => (field in machineFields ? "Machine" : "Options"),
  configFile: false
}

/** Times whole GRPO steps on random weights and prompts, and says what the time went into. */
export const benchGrpo = Effect.fnUntraced(function* (argv: ReadonlyArray<string>) {
  const { options } = yield* parseCommand(line, argv)
  const { device, precision, promptTokens: prompt, maxNewTokens: newTokens, prompts, samples, shape } = options
  yield* Effect.gen(function* () {
    const { backend, description } = yield* ModelRuntime
    const measured = yield* measureGrpo({
      ...options,
      shape: shapes[shape],
      prompt,
      newTokens,
      maxRows: options.maxRows ?? prompts * samples
    })
    yield* options.json
      ? printJson({
          bench: "grpo",
          shape,
          prompts,
          samples,
          prompt_tokens: prompt,
          max_new_tokens: newTokens,
          backend,
          device,
          precision,
          engine: description,
          ...figures(options, measured)
        })
      : print(text(description, options, measured))
  }).pipe(Effect.scoped, onMachine(options))
})

const PARTS = ["generate", "score", "logProbs", "update", "other"] as const satisfies ReadonlyArray<keyof StepTimes>
const NAMES = { generate: "generate", score: "score", logProbs: "log-probs", update: "update", other: "other" } as const

const figures = (
  { maxNewTokens, promptTokens, prompts, samples }: Options,
  { metrics, parameters, steps }: RolloutMeasurement
) => {
  const totals = steps.map(({ total }) => total)
  const step = median(totals)
  const rows = prompts * samples
  return {
    parameters,
    step_seconds: { median: step, min: Math.min(...totals), max: Math.max(...totals) },
    parts: Object.fromEntries(
      PARTS.map((part) => {
        const seconds = median(steps.map((times) => times[part]))
        return [NAMES[part], { seconds, share: seconds / step }]
      })
    ),
    sampled_tokens_per_second: (rows * maxNewTokens) / median(steps.map(({ generate }) => generate)),
    trained_tokens_per_second: (rows * (promptTokens + maxNewTokens)) / median(steps.map(({ update }) => update)),
    sampler_gap: metrics["sampling/sampling_logp_difference/mean"] ?? null,
    ratio: metrics["ratio/mean"] ?? null,
    clipped: metrics["clip_ratio/region_mean"] ?? null
  }
}

const text = (description: string, options: Options, measured: RolloutMeasurement): string => {
  const { maxNewTokens, promptTokens, prompts, samples } = options
  const all = figures(options, measured)
  const s = (seconds: number) => `${seconds.toFixed(3)} s`
  const parts = Object.entries(all.parts).map(
    ([name, { seconds, share }]) =>
      `  ${name.padEnd(9)}${s(seconds).padStart(10)}${`${(100 * share).toFixed(1)} %`.padStart(9)}`
  )
  return [
    `engine     ${description}`,
    `model      ${(all.parameters / 1e6).toFixed(1)} M parameters`,
    `work       ${prompts} prompts of ${promptTokens} tokens, ${samples} responses of ${maxNewTokens} to each`,
    `step       ${s(all.step_seconds.median)} (${s(all.step_seconds.min)} to ${s(all.step_seconds.max)} in ${measured.steps.length})`,
    ...parts,
    `sampling   ${all.sampled_tokens_per_second.toFixed(0)} tokens/s`,
    `update     ${all.trained_tokens_per_second.toFixed(0)} tokens/s, prompts included`,
    `check      ratio ${all.ratio}, clipped ${all.clipped}, sampler and trainer ${Number(all.sampler_gap).toExponential(1)} nats apart`
  ].join("\n")
}
