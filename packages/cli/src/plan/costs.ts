import { type DecoderConfig, flopsPerToken, parameterCount } from "@plumbline/models"
import type { AdapterSize } from "@plumbline/peft"
import { keptCheckpoints, type TrainingOptions } from "@plumbline/training"
import { type MemoryCosts, memoryOf, type Training } from "./memory.ts"
import type { Workload } from "./workload.ts"

export type CostOptions = Pick<
  TrainingOptions,
  | "activationCheckpointing"
  | "batchSize"
  | "epochs"
  | "evalEvery"
  | "keepCheckpoints"
  | "maxSteps"
  | "microBatchSize"
  | "microBatchTokens"
  | "saveEvery"
> &
  Training

/** What a run takes. Bytes, FLOPs and tokens. */
export interface Costs {
  readonly parameters: number
  /** Those that the optimizer moves. */
  readonly trainedParameters: number
  readonly steps: number
  readonly rows: number
  readonly tokensPerStep: number
  readonly flopsPerStep: number
  /** Evaluations and a precomputed reference included. */
  readonly flops: number
  readonly memory: MemoryCosts
  readonly checkpointBytes: number
  /** Checkpoints kept at the end, and the final model. */
  readonly diskBytes: number
}

const FLOAT_BYTES = 4
/** A forward pass, of what forward and backward take together. */
const FORWARD = 1 / 3

/** Estimates from the model's numbers and the lengths of the data; nothing is run. */
export const costsOf = (config: DecoderConfig, workload: Workload, options: CostOptions): Costs => {
  const { adapter } = options
  const parameters = parameterCount(config)
  const steps = options.maxSteps ?? Math.max(1, Math.floor(workload.stepsPerEpoch * options.epochs))
  const share = options.batchSize / workload.units.length
  const forward = FORWARD * flopsOf(config, workload.units)
  const asksAlways = workload.reference === "every step" || workload.reference === "moving"
  const everyStep = asksAlways ? forward : 0
  const again = options.activationCheckpointing ? FORWARD * blockFlops(config, workload.units) : 0
  const flopsPerStep = (flopsOf(config, workload.units, adapter) + everyStep + again) * share
  const once = workload.reference === "once" ? forward + FORWARD * flopsOf(config, workload.heldOut) : 0
  const evaluation = evaluationFlops(config, workload, options, steps) * (asksAlways ? 2 : 1)
  const stored = (adapter?.stored ?? parameters) * FLOAT_BYTES
  const trainedParameters = adapter?.trained ?? parameters
  const carried = workload.reference === "moving" ? stored : 0
  const checkpointBytes = stored + carried + 2 * trainedParameters * FLOAT_BYTES
  return {
    parameters,
    trainedParameters,
    steps,
    rows: workload.units.length,
    tokensPerStep: sum(workload.units.map(sum)) * share,
    flopsPerStep,
    flops: steps * flopsPerStep + once + evaluation,
    memory: memoryOf(config, largestMicroBatch(workload, options), options),
    checkpointBytes,
    diskBytes: checkpointsOf(workload, options, steps) * checkpointBytes + stored
  }
}

/** FLOPs of training on each unit once, all weights or those of an adapter, whose gradients go through the model all the same. */
const flopsOf = (config: DecoderConfig, units: Workload["units"], adapter?: AdapterSize): number =>
  sum(
    units
      .flat()
      .map((length) => length * (flopsPerToken(config, length, adapter !== undefined) + 6 * (adapter?.stored ?? 0)))
  )

/** The same without the output matrix: what activation checkpointing computes forward once more. */
const blockFlops = (config: DecoderConfig, units: Workload["units"]): number =>
  flopsOf(config, units) - 6 * config.vocabulary * config.width * sum(units.flat())

const evaluates = ({ heldOut }: Workload, { evalEvery }: CostOptions) => heldOut.length > 0 && evalEvery > 0

const evaluationFlops = (config: DecoderConfig, workload: Workload, options: CostOptions, steps: number): number =>
  evaluates(workload, options) ? Math.ceil(steps / options.evalEvery) * FORWARD * flopsOf(config, workload.heldOut) : 0

const checkpointsOf = (
  workload: Workload,
  { evalEvery, keepCheckpoints, saveEvery }: CostOptions,
  maxSteps: number
) => {
  const canEvaluate = workload.heldOut.length > 0
  const every = saveEvery ?? (canEvaluate && evalEvery > 0 ? evalEvery : 100)
  return keptCheckpoints({ canEvaluate, evalEvery, maxSteps, saveEvery: every }, keepCheckpoints)
}

/** The largest micro-batch there can be. */
const largestMicroBatch = (
  { reference, units }: Workload,
  { batchSize, microBatchSize, microBatchTokens: most, processes }: CostOptions
) => {
  const share = Math.ceil(batchSize / processes)
  const size = Math.min(microBatchSize ?? share, share)
  const longestFirst = units.map(sum).toSorted((a, b) => b - a)
  const byCount = sum(longestFirst.slice(0, size))
  const tokens = most === undefined ? byCount : Math.max(longestFirst[0]!, Math.min(most, byCount))
  const isPart = size < share || tokens < byCount
  return { tokens, isPart, reference }
}

const sum = (values: ReadonlyArray<number>): number => values.reduce((total, value) => total + value, 0)
