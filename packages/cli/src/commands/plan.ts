import { type AnyBuiltin, builtins } from "@plumbline/algorithms/commands"
import type { DecoderConfig } from "@plumbline/models"
import { option, optional } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { type MachineOptions, onMachine } from "../backend.ts"
import type { CommandLine } from "../command-line.ts"
import type { CommandRun } from "../command.ts"
import type { OptionSchema } from "../flags.ts"
import { asksForHelp } from "../help.ts"
import { measureMatmulRate } from "../matmul-rate.ts"
import { parseCommand } from "../parse-command.ts"
import type { CostOptions, Costs } from "../plan-costs.ts"
import { memoryTotal, plannedCosts, type PlannedOptions } from "../planned-costs.ts"
import { byteText as bytes, countText as count } from "../quantities.ts"
import { duration } from "../run-text.ts"
import { suggestion } from "../suggest.ts"
import { print, printJson } from "../terminal.ts"
import { TextRequested, UsageError } from "../usage-error.ts"
import { algorithmLine } from "./train.ts"

/** Share of the matmul rate that training steps are assumed to reach. */
const ASSUMED_SHARE = 0.5

const USAGE = "ALGORITHM --model DIR --train FILE [--option value…]"

/** Says what a run would take, and starts nothing. */
export const planCommand: CommandRun = (words) =>
  Effect.gen(function* () {
    if (asksForHelp(words)) return yield* new TextRequested({ text: generalHelp(yield* plannedNames) })
    const [name, ...argv] = words
    const entry = builtins.find((candidate) => candidate.name === name)
    if (name === undefined || entry === undefined) {
      const names = yield* plannedNames
      const problem =
        name === undefined || name.startsWith("-")
          ? `the algorithm comes first: plumb plan ${USAGE}`
          : `there is no algorithm "${name}"${suggestion(name, names)}`
      return yield* new UsageError({ problems: [problem], help: `algorithms: ${names.join(", ")}` })
    }
    const builtin = yield* Effect.promise(entry.load)
    if (builtin.generates === true) {
      const reason = "writes responses of its own during training, and no plan knows what they cost"
      if (asksForHelp(["-", ...argv])) {
        return yield* new TextRequested({ text: `${generalHelp(yield* plannedNames)}\n\nNot ${name}: it ${reason}.` })
      }
      const help = "plumb plan is for algorithms that read all they learn from"
      return yield* new UsageError({ problems: [`${name} ${reason}`], help })
    }
    const parsed = yield* parseCommand(planLine(builtin), argv)
    const options = parsed.options as unknown as PlannedOptions & MachineOptions & { readonly json: boolean }
    const { config, costs } = yield* plannedCosts(builtin, options)
    const rate = yield* measureMatmulRate(config).pipe(onMachine(options))
    const seconds = costs.flops / (rate * ASSUMED_SHARE * options.processes)
    yield* options.json
      ? printJson(planJson(costs, rate, seconds))
      : print(planText(config, costs, options, rate, seconds))
  })

/** Algorithms that a plan can be made for. */
const plannedNames = Effect.map(
  Effect.promise(() => Promise.all(builtins.map(({ load }) => load()))),
  (all) => all.filter(({ generates }) => generates !== true).map(({ name }) => name)
)

const generalHelp = (names: ReadonlyArray<string>) => `plumb plan ${USAGE}

What a run will take: steps, time, memory, disk. Takes the options of the run, starts nothing and writes nothing.
ALGORITHM: ${names.join(", ")}; plumb plan ${names[0]} --help lists its options.`

const planLine = (builtin: AnyBuiltin): CommandLine<OptionSchema> => {
  const line = algorithmLine(builtin, "plan ")
  return {
    ...line,
    usage: "--model DIR --train FILE [--option value…]",
    summary: `what this run will take, before it is started: ${line.summary}`,
    options: Schema.Struct({
      ...line.options.fields,
      output: optional(Schema.NonEmptyString, "folder of the run; a plan needs none"),
      json: option(Schema.Boolean, false, "one JSON object")
    }),
    group: (field) => (field === "json" ? "Other" : line.group(field))
  }
}

const planJson = (costs: Costs, rate: number, seconds: number) => ({
  parameters: costs.parameters,
  trained_parameters: costs.trainedParameters,
  rows: costs.rows,
  steps: costs.steps,
  tokens_per_step: Math.round(costs.tokensPerStep),
  flops_per_step: Math.round(costs.flopsPerStep),
  flops: Math.round(costs.flops),
  memory_bytes: { ...costs.memory, total: memoryTotal(costs) },
  matmul_flops_per_second: Math.round(rate),
  assumed_share_of_matmul_rate: ASSUMED_SHARE,
  seconds,
  checkpoint_bytes: costs.checkpointBytes,
  disk_bytes: costs.diskBytes
})

const planText = (
  config: DecoderConfig,
  costs: Costs,
  { precision, processes }: MachineOptions & Pick<CostOptions, "processes">,
  rate: number,
  seconds: number
): string => {
  const { activations, gradients, moments, output, reference, unfolded, weights } = costs.memory
  const whole = unfolded === 0 ? "" : `, a matrix out of its 4 bits ${bytes(unfolded)}`
  const { parameters, trainedParameters } = costs
  const trained = trainedParameters === parameters ? "" : `, ${count(trainedParameters)} of an adapter are trained`
  const copy = reference === 0 ? "" : `, reference copy ${bytes(reference)}`
  const facts = [
    ["model", `${count(parameters)} parameters, ${config.layers} layers of width ${config.width}${trained}`],
    ["data", `${costs.rows} rows, ${Math.round(costs.tokensPerStep)} tokens a step`],
    ["steps", String(costs.steps)],
    ["compute", `${count(costs.flopsPerStep)}FLOP a step, ${count(costs.flops)}FLOP in all`],
    [
      "time",
      `about ${duration(seconds)}: ${count(rate)}FLOP/s of matrix products measured here, ${ASSUMED_SHARE * 100} % of it assumed${processes === 1 ? "" : `, in each of ${processes} processes`}`
    ],
    ["memory", `about ${bytes(memoryTotal(costs))}${processes === 1 ? "" : " a process"}, ${precision}`],
    ["", `weights ${bytes(weights)}, gradients ${bytes(gradients)}, moments ${bytes(moments)}${copy}`],
    [
      "",
      `activations ${bytes(activations)}, output ${bytes(output)}${whole} for the largest micro-batch (an estimate)`
    ],
    ["disk", `${bytes(costs.diskBytes)} at the end; a checkpoint takes ${bytes(costs.checkpointBytes)}`]
  ]
  return facts.map(([name, value]) => `${name!.padEnd(9)}${value}`).join("\n")
}
