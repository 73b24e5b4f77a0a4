import type { MemoryReport, NativeCalls } from "@plumbline/runtime"
import type { Dispatch } from "./dispatch.ts"
import type { Measurement } from "./measure.ts"
import type { Peak } from "./peak.ts"
import { median } from "./timing.ts"

export interface BenchResult {
  /** What was asked for, as JSON shows it. */
  readonly request: Readonly<Record<string, unknown>>
  readonly description: string
  readonly measurement: Measurement
  readonly dispatch: Dispatch
  readonly peak: Peak
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
  const { description, dispatch, measurement, peak, request } = result
  const { memory, operations } = measurement
  const { fastest, flopsPerSecond, seconds, share, slowest, tokensPerSecond } = rates(result)
  return {
    ...request,
    engine: description,
    parameters: measurement.parameters,
    trained_parameters: measurement.trainedParameters,
    tokens_per_step: measurement.tokensPerStep,
    flops_per_step: measurement.flopsPerStep,
    step_seconds: { median: seconds, min: fastest, max: slowest, all: measurement.stepSeconds },
    tokens_per_second: tokensPerSecond,
    flops_per_second: flopsPerSecond,
    peak: { flops_per_second: peak.flopsPerSecond, source: peak.source },
    share_of_peak: share,
    memory: Object.fromEntries(Object.entries(memory).map(([name, value]) => [snakeCase(name), value ?? null])),
    operations_per_step: {
      taped: operations.taped,
      tape_entries: operations.tapeEntries,
      total: operations.total
    },
    native_calls_per_step: callsJson(measurement.calls),
    waiting_seconds_per_step: measurement.waitingSeconds,
    dispatch: {
      seconds_per_step: dispatch.secondsPerStep,
      computing_seconds_per_step: dispatch.computingSeconds,
      library_seconds_per_step: dispatch.librarySeconds,
      waiting_seconds_per_step: dispatch.waitingSeconds,
      operations: dispatch.operations.total,
      taped_operations: dispatch.operations.taped,
      microseconds_per_operation: dispatch.secondsPerOperation * 1e6,
      microseconds_per_taped_operation: dispatch.secondsPerTapedOperation * 1e6,
      own_microseconds_per_operation: dispatch.ownSecondsPerOperation * 1e6,
      own_microseconds_per_taped_operation: dispatch.ownSecondsPerTapedOperation * 1e6
    },
    loss: measurement.losses
  }
}

/** `kernels` on a device are at least so many: an operator may launch several. */
const callsJson = (calls: NativeCalls | undefined) =>
  calls === undefined
    ? null
    : {
        kernels: calls.operators + calls.kernels,
        operators: calls.operators,
        own_kernels: calls.kernels,
        views: calls.views,
        uploads: calls.uploads,
        reads: calls.reads,
        seconds: calls.seconds
      }

const PEAK_SOURCES: Readonly<Record<Peak["source"], string>> = {
  given: "as --peak-tflops says",
  published: "dense bfloat16 of an H100 or H200, as published",
  measured: "matrix products of the step, measured here"
}

export const benchText = (result: BenchResult): string => {
  const { description, dispatch, measurement, peak } = result
  const { calls, losses, memory, operations, stepSeconds } = measurement
  const { fastest, flopsPerSecond, seconds, share, slowest, tokensPerSecond } = rates(result)
  const facts = [
    ["engine", description],
    ["model", modelText(measurement)],
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
    ["memory", memoryText(memory)],
    [
      "operations",
      `${operations.taped} taped (${operations.tapeEntries} entries of the tape), ${operations.total} in all; ${milliseconds(measurement.waitingSeconds)} waiting for values`
    ],
    ...(calls === undefined ? [] : [["kernels", callsText(calls)] as const]),
    ["dispatch", dispatchText(dispatch)]
  ] as const
  return facts.map(([name, value]) => `${name.padEnd(11)}${value}`).join("\n")
}

const modelText = ({ parameters, tokensPerStep, trainedParameters }: Measurement): string => {
  const millions = (count: number) => `${(count / 1e6).toFixed(1)} M`
  const trained = trainedParameters === parameters ? "" : `, ${millions(trainedParameters)} of them trained`
  return `${millions(parameters)} parameters${trained}, ${tokensPerStep} tokens a step`
}

const callsText = ({ kernels, operators, reads, uploads, views }: NativeCalls): string =>
  `${operators + kernels} launched a step, if each of ${operators} operators is one (${kernels} are our own); ` +
  `${views} views, ${uploads} uploads, ${reads} reads`

const dispatchText = (dispatch: Dispatch): string => {
  const { computingSeconds, librarySeconds, operations, secondsPerStep, waitingSeconds } = dispatch
  const { ownSecondsPerOperation, ownSecondsPerTapedOperation, secondsPerOperation, secondsPerTapedOperation } =
    dispatch
  const inside = librarySeconds === 0 ? "" : `, ${milliseconds(librarySeconds)} of it inside the library's operators`
  const waiting = waitingSeconds === 0 ? "" : `, ${milliseconds(waitingSeconds)} waiting`
  const each = (perOperation: number, perTaped: number) =>
    `${microseconds(perOperation)} each of ${operations.total} operations, or ${microseconds(perTaped)} each of ${operations.taped} taped`
  // where they compute, what is inside them is no dispatch; where they queue it is, though not ours
  const own =
    computingSeconds > 0 || librarySeconds === 0
      ? ""
      : `; without what is inside, ${each(ownSecondsPerOperation, ownSecondsPerTapedOperation)}`
  return (
    `${milliseconds(secondsPerStep)} a step of next to no work${inside}${waiting}: ` +
    each(secondsPerOperation, secondsPerTapedOperation) +
    own
  )
}

const microseconds = (seconds: number): string => `${(seconds * 1e6).toFixed(1)} µs`

const milliseconds = (seconds: number): string => `${Number((seconds * 1000).toPrecision(4))} ms`

/** What the runtime tells of its memory. */
const memoryText = (memory: MemoryReport): string =>
  Object.entries(MEMORY_WORDS)
    .map(([name, words]) => [memory[name as keyof typeof MEMORY_WORDS], words] as const)
    .filter(([value]) => value !== undefined)
    .map(([value, words]) => `${(value! / 2 ** 20).toFixed(0)} MiB ${words}`)
    .join(", ")

/** `bytes` are the tensors alive between steps. */
const MEMORY_WORDS: Readonly<Record<Exclude<keyof MemoryReport, "tensors" | "handles">, string>> = {
  bytes: "of tensors",
  allocatedBytes: "in use",
  reservedBytes: "reserved",
  availableBytes: "free",
  peakBytes: "at most in use"
}

const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

const flopRate = (rate: number): string =>
  rate >= 1e12 ? `${(rate / 1e12).toFixed(1)} TFLOP/s` : `${(rate / 1e9).toFixed(1)} GFLOP/s`
