import { type DecoderConfig, flopsPerToken, parameterCount } from "@plumbline/models"
import type { TrainingOptions } from "@plumbline/training"
import type { Workload } from "./plan-workload.ts"

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
>

/** What a run takes. Bytes, FLOPs and tokens; float32 throughout. */
export interface Costs {
  readonly parameters: number
  readonly steps: number
  readonly rows: number
  readonly tokensPerStep: number
  readonly flopsPerStep: number
  /** Evaluations and a precomputed reference included. */
  readonly flops: number
  readonly memory: {
    readonly weights: number
    readonly gradients: number
    readonly moments: number
    readonly reference: number
    readonly activations: number
  }
  readonly checkpointBytes: number
  /** Checkpoints kept at the end, and the final model. */
  readonly diskBytes: number
}

const FLOAT_BYTES = 4
/** A forward pass, of what forward and backward take together. */
const FORWARD = 1 / 3

/** Estimates from the model's numbers and the lengths of the data; nothing is run. */
export const costsOf = (config: DecoderConfig, workload: Workload, options: CostOptions): Costs => {
  const parameters = parameterCount(config)
  const steps = options.maxSteps ?? Math.max(1, Math.floor(workload.stepsPerEpoch * options.epochs))
  const share = options.batchSize / workload.units.length
  const trained = flopsOf(config, workload.units)
  const everyStep = workload.reference === "every step" ? FORWARD : 0
  const again = options.activationCheckpointing ? FORWARD * blockFlops(config, workload.units) : 0
  const flopsPerStep = (trained * (1 + everyStep) + again) * share
  const once = workload.reference === "once" ? FORWARD * (trained + flopsOf(config, workload.heldOut)) : 0
  const weights = parameters * FLOAT_BYTES
  const checkpointBytes = 3 * weights
  return {
    parameters,
    steps,
    rows: workload.units.length,
    tokensPerStep: sum(workload.units.map(sum)) * share,
    flopsPerStep,
    flops: steps * flopsPerStep + once + evaluationFlops(config, workload, options, steps) * (1 + everyStep),
    memory: {
      weights,
      gradients: weights,
      moments: 2 * weights,
      reference: workload.reference === "never" ? 0 : weights,
      activations: microBatchTokens(workload, options) * activationBytes(config, options)
    },
    checkpointBytes,
    diskBytes: keptCheckpoints(workload, options, steps) * checkpointBytes + weights
  }
}

/** FLOPs of training on each unit once. */
const flopsOf = (config: DecoderConfig, units: Workload["units"]): number =>
  sum(units.flat().map((length) => length * flopsPerToken(config, length)))

/** The same without the output matrix: what activation checkpointing computes forward once more. */
const blockFlops = (config: DecoderConfig, units: Workload["units"]): number =>
  flopsOf(config, units) - 6 * config.vocabulary * config.width * sum(units.flat())

const evaluates = ({ heldOut }: Workload, { evalEvery }: CostOptions) => heldOut.length > 0 && evalEvery > 0

const evaluationFlops = (config: DecoderConfig, workload: Workload, options: CostOptions, steps: number): number =>
  evaluates(workload, options) ? Math.ceil(steps / options.evalEvery) * FORWARD * flopsOf(config, workload.heldOut) : 0

const keptCheckpoints = (workload: Workload, options: CostOptions, steps: number): number => {
  const every = options.saveEvery ?? (evaluates(workload, options) ? options.evalEvery : 100)
  if (every === 0) return 0
  const best = evaluates(workload, options) ? 1 : 0
  return Math.min(Math.ceil(steps / every), options.keepCheckpoints + best)
}

/** Tokens of the largest micro-batch there can be. */
const microBatchTokens = ({ units }: Workload, { batchSize, microBatchSize, microBatchTokens: most }: CostOptions) => {
  const longestFirst = units.map(sum).toSorted((a, b) => b - a)
  const byCount = sum(longestFirst.slice(0, microBatchSize ?? batchSize))
  return most === undefined ? byCount : Math.max(longestFirst[0]!, Math.min(most, byCount))
}

/**
 * Bytes that a token leaves behind for the backward pass: in each layer both norms' inputs and outputs, queries, keys,
 * values, what attention gives, and three of the MLP's widths. With activation checkpointing all of it in one layer at a
 * time, and each layer's input.
 */
const activationBytes = (
  { headWidth, heads, keyValueHeads, layers, mlpWidth, width }: DecoderConfig,
  { activationCheckpointing }: CostOptions
): number => {
  const layer = 4 * width + 2 * headWidth * (heads + keyValueHeads) + 3 * mlpWidth
  return FLOAT_BYTES * (activationCheckpointing ? layer + layers * width : layers * layer)
}

const sum = (values: ReadonlyArray<number>): number => values.reduce((total, value) => total + value, 0)
