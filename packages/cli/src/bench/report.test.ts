import { expect, it } from "vitest"
import { benchJson, benchText, type BenchResult } from "./report.ts"

const result: BenchResult = {
  request: { bench: "train", shape: "llama-tiny" },
  description: "an engine",
  measurement: {
    parameters: 2_500_000,
    trainedParameters: 2_500_000,
    tokensPerStep: 1000,
    flopsPerStep: 6e12,
    stepSeconds: [0.5, 0.25, 0.3],
    losses: { first: 2, last: 1.5 },
    operations: { taped: 200, tapeEntries: 400, total: 500 },
    waitingSeconds: 0.125,
    calls: { operators: 700, views: 300, kernels: 50, uploads: 9, reads: 1, seconds: 0.02, queued: true },
    memory: { tensors: 3, bytes: 2 ** 21, reservedBytes: undefined },
    productRate: undefined
  },
  dispatch: {
    secondsPerStep: 0.004,
    computingSeconds: 0.001,
    librarySeconds: 0.001,
    waitingSeconds: 0,
    secondsPerTapedOperation: 0.00002,
    secondsPerOperation: 0.000008,
    ownSecondsPerTapedOperation: 0.00002,
    ownSecondsPerOperation: 0.000008,
    operations: { taped: 150, tapeEntries: 150, total: 375 }
  },
  peak: { flopsPerSecond: 100e12, source: "given" }
}

it("takes every rate from the median step", () => {
  expect(benchJson(result)).toMatchObject({
    bench: "train",
    engine: "an engine",
    step_seconds: { median: 0.3, min: 0.25, max: 0.5 },
    // 1000 tokens and 6e12 FLOPs in 0.3 s; 20 of 100 TFLOP/s
    tokens_per_second: 1000 / 0.3,
    flops_per_second: 6e12 / 0.3,
    share_of_peak: 6e12 / 0.3 / 100e12,
    memory: { tensors: 3, bytes: 2_097_152, reserved_bytes: null },
    operations_per_step: { taped: 200, tape_entries: 400, total: 500 },
    native_calls_per_step: { kernels: 750, operators: 700, own_kernels: 50, views: 300, uploads: 9, reads: 1 },
    dispatch: {
      seconds_per_step: 0.004,
      computing_seconds_per_step: 0.001,
      library_seconds_per_step: 0.001,
      waiting_seconds_per_step: 0,
      operations: 375,
      taped_operations: 150,
      microseconds_per_taped_operation: 20,
      microseconds_per_operation: 8
    },
    loss: { first: 2, last: 1.5 }
  })
})

it("says the same in words", () => {
  const text = benchText(result)
  expect(text).toContain("300 ms (median of 3; 250 ms to 500 ms)")
  expect(text).toContain("3333 tokens/s, 20.0 TFLOP/s of the model's")
  expect(text).toContain("100.0 TFLOP/s (as --peak-tflops says): 20.0 % of it reached")
  expect(text).toContain("2 MiB of tensors")
  expect(text).toContain("750 launched a step, if each of 700 operators is one (50 are our own)")
  expect(text).toContain("1 ms of it inside the library's operators: 8.0 µs each of 375 operations, or 20.0 µs")
})

it("says of calls that only queue how much of the host's time passes in the library, and how much waiting", () => {
  const { dispatch } = result
  const queued = {
    ...dispatch,
    computingSeconds: 0,
    waitingSeconds: 0.0005,
    ownSecondsPerOperation: 0.000005,
    ownSecondsPerTapedOperation: 0.0000125
  }
  const text = benchText({ ...result, dispatch: queued })
  expect(text).toContain(
    "4 ms a step of next to no work, 1 ms of it inside the library's operators, 0.5 ms waiting: 8.0 µs"
  )
  expect(text).toContain("without what is inside, 5.0 µs each of 375 operations, or 12.5 µs each of 150 taped")
  expect(benchText(result)).not.toContain("without what is inside")
})
