import type { AnyBuiltin } from "@plumbline/algorithms/commands"
import type { DecoderConfig } from "@plumbline/models"
import { Effect } from "effect"
import { type MachineOptions, onMachine } from "../backend.ts"
import { measureMatmulRate } from "./matmul-rate.ts"
import type { CostOptions, Costs } from "./costs.ts"
import { memoryTotal, plannedCosts, type PlannedOptions } from "./planned-costs.ts"
import { byteText as bytes, countText as count } from "../quantities.ts"
import { duration } from "../run-text.ts"
import { print, printJson } from "../terminal.ts"

/** Share of the matmul rate that training steps are assumed to reach. */
const ASSUMED_SHARE = 0.5

/** The plan of a run that reads all it learns from, computed from the model's numbers and the lengths of the data. */
export const computedPlan = Effect.fnUntraced(function* (
  builtin: AnyBuiltin,
  options: PlannedOptions & MachineOptions,
  json: boolean
) {
  const { config, costs } = yield* plannedCosts(builtin, options)
  const rate = yield* measureMatmulRate(config).pipe(onMachine(options))
  const seconds = costs.flops / (rate * ASSUMED_SHARE * options.processes)
  yield* json ? printJson(planJson(costs, rate, seconds)) : print(planText(config, costs, options, rate, seconds))
})

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
  const { activations, gathered, gradients, moments, output, reference, unfolded, weights } = costs.memory
  const whole = unfolded === 0 ? "" : `, a matrix out of its 4 bits ${bytes(unfolded)}`
  const blocks = gathered === 0 ? "" : `, gathered at one time ${bytes(gathered)}`
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
    ["", `weights ${bytes(weights)}, gradients ${bytes(gradients)}, moments ${bytes(moments)}${copy}${blocks}`],
    [
      "",
      `activations ${bytes(activations)}, output ${bytes(output)}${whole} for the largest micro-batch (an estimate)`
    ],
    ["disk", `${bytes(costs.diskBytes)} at the end; a checkpoint takes ${bytes(costs.checkpointBytes)}`]
  ]
  return facts.map(([name, value]) => `${name!.padEnd(9)}${value}`).join("\n")
}
