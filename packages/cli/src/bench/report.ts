import type { MemoryReport } from "@plumbline/runtime"
import type { Dispatch, Measurement } from "./measure.ts"
import { median } from "./timing.ts"

/** What a step's speed is held against, and where the number comes from. */
export interface Peak {
  readonly flopsPerSecond: number
  readonly source: "given" | "published" | "measured"
}

export interface BenchResult {
  /** What was asked for, as JSON shows it. */
  readonly request: Readonly<Record<string, unknown>>
  readonly description: string
  readonly measurement: Measurement
  readonly dispatch: Dispatch
  readonly peak: Peak
  readonly memory: MemoryReport
}

const rates = ({ measurement, peak }: BenchResult) => {
  const { flopsPerStep, stepSeconds, tokensPerStep } = measurement
  const seconds = median(stepSeconds)
  const flopsPerSecond = flopsPerStep / seconds
  return {
    seconds,
    fastest: Math.min(...stepSeconds),
    slowest: Math.max(...stepSeconds),
    tokensPerSecond: tokensPerStep / seconds,
    flopsPerSecond,
    share: flopsPerSecond / peak.flopsPerSecond
  }
}

export const benchJson = (result: BenchResult) => {
  const { description, dispatch, measurement, memory, peak, request } = result
  const { operations } = measurement
  const { fastest, flopsPerSecond, seconds, share, slowest, tokensPerSecond } = rates(result)
  return {
    ...request,
    engine: description,
    parameters: measurement.parameters,
    tokens_per_step: measurement.tokensPerStep,
    flops_per_step: measurement.flopsPerStep,
    step_seconds: { median: seconds, min: fastest, max: slowest, all: measurement.stepSeconds },
    tokens_per_second: tokensPerSecond,
    flops_per_second: flopsPerSecond,
    peak: { flops_per_second: peak.flopsPerSecond, source: peak.source },
    share_of_peak: share,
    memory: {
      reserved_bytes: memory.reservedBytes ?? null,
      live_bytes: memory.bytes,
      peak_tensor_bytes: operations.peakBytes,
      tensors: memory.tensors
    },
    operations_per_step: { taped: operations.taped, total: operations.total },
    waiting_seconds_per_step: operations.waited,
    dispatch: {
      seconds_per_step: dispatch.secondsPerStep,
      microseconds_per_taped_operation: dispatch.secondsPerTapedOperation * 1e6,
      microseconds_per_operation: dispatch.secondsPerOperation * 1e6
    },
    loss: measurement.losses
  }
}

const PEAK_SOURCES: Readonly<Record<Peak["source"], string>> = {
  given: "as --peak-tflops says",
  published: "dense bfloat16 of an H100 or H200, as published",
  measured: "matrix products of the step, measured here"
}

export const benchText = (result: BenchResult): string => {
  const { description, dispatch, measurement, memory, peak } = result
  const { losses, operations, parameters, stepSeconds, tokensPerStep } = measurement
  const { fastest, flopsPerSecond, seconds, share, slowest, tokensPerSecond } = rates(result)
  const facts = [
    ["engine", description],
    ["model", `${(parameters / 1e6).toFixed(1)} M parameters, ${tokensPerStep} tokens a step`],
    ["loss", `${losses.first.toFixed(4)} → ${losses.last.toFixed(4)} on one batch`],
    [
      "step",
      `${milliseconds(seconds)} (median of ${stepSeconds.length}; ${milliseconds(fastest)} to ${milliseconds(slowest)})`
    ],
    ["training", `${Math.round(tokensPerSecond)} tokens/s, ${flopRate(flopsPerSecond)} of the model's`],
    [
      "peak",
      `${flopRate(peak.flopsPerSecond)} (${PEAK_SOURCES[peak.source]}): ${(100 * share).toFixed(1)} % of it reached`
    ],
    ["memory", `${mebibytes(memory.reservedBytes)} reserved; tensors ${mebibytes(operations.peakBytes)} at most`],
    [
      "operations",
      `${operations.taped} taped, ${operations.total} in all; ${milliseconds(operations.waited)} waiting for values`
    ],
    [
      "dispatch",
      `${milliseconds(dispatch.secondsPerStep)} a step, ${(dispatch.secondsPerTapedOperation * 1e6).toFixed(1)} µs a taped ` +
        `operation, ${(dispatch.secondsPerOperation * 1e6).toFixed(1)} µs an operation, on a model of next to no work`
    ]
  ] as const
  return facts.map(([name, value]) => `${name.padEnd(11)}${value}`).join("\n")
}

const milliseconds = (seconds: number): string => `${Number((seconds * 1000).toPrecision(4))} ms`

const mebibytes = (bytes: number | undefined): string =>
  bytes === undefined ? "unknown" : `${(bytes / 2 ** 20).toFixed(0)} MiB`

const flopRate = (rate: number): string =>
  rate >= 1e12 ? `${(rate / 1e12).toFixed(1)} TFLOP/s` : `${(rate / 1e9).toFixed(1)} GFLOP/s`
