import { parameterCount } from "@plumbline/models"
import type { MemoryReport, ModelRuntimeShape, NativeCalls } from "@plumbline/runtime"
import { timeProducts } from "./matrix-products.ts"
import { countOperations, type Operations } from "./operations.ts"
import { watchReads } from "./reads.ts"
import { secondsOf } from "./timing.ts"
import type { Workload } from "./workloads.ts"

export interface Measurement {
  readonly parameters: number
  /** Those that the optimizer moves. */
  readonly trainedParameters: number
  readonly tokensPerStep: number
  readonly flopsPerStep: number
  /** Of each timed step. */
  readonly stepSeconds: ReadonlyArray<number>
  readonly losses: { readonly first: number; readonly last: number }
  readonly operations: Operations
  /** Seconds that a step waited for values it read. */
  readonly waitingSeconds: number
  /** What the step asked of the native library, where the runtime can tell. */
  readonly calls: NativeCalls | undefined
  /** After the warm-up: what training alone takes. */
  readonly memory: MemoryReport
  /** FLOP/s of this machine's matrix products, where no peak was given. */
  readonly productRate: number | undefined
}

/** What the runtime tells of itself. */
export type Gauges = Pick<ModelRuntimeShape, "memory" | "calls">

export interface MeasureOptions {
  readonly warmup: number
  readonly steps: number
  /** Whether matrix products are timed between the steps. */
  readonly withProducts: boolean
  readonly gauges: Gauges
}

/** Times steps after a warm-up, then counts what one more does. */
export const measure = (workload: Workload, options: MeasureOptions): Measurement => {
  const { gauges, steps, warmup, withProducts } = options
  const { flopsPerStep, policy, step, tokensPerStep } = workload
  const first = step()
  for (let i = 1; i < warmup; i++) step()
  const memory = gauges.memory()
  const products = withProducts ? timeProducts(policy.config, tokensPerStep) : undefined
  const stepSeconds: Array<number> = []
  let last = first
  for (let i = 0; i < steps; i++) {
    stepSeconds.push(secondsOf(() => void (last = step())))
    products?.run()
  }
  const before = gauges.calls?.()
  const { operations, waitingSeconds } = watchReads((waited) => {
    const operations = countOperations(() => void step())
    return { operations, waitingSeconds: waited() }
  })
  const calls = before === undefined ? undefined : callsSince(before, gauges.calls!())
  const productRate = products?.rate()
  products?.dispose()
  const trainedParameters = policy.variables.reduce((total, { size }) => total + size, 0)
  const parameters = parameterCount(policy.config) + (policy.contents === undefined ? 0 : trainedParameters)
  const losses = { first, last }
  return {
    parameters,
    trainedParameters,
    tokensPerStep,
    flopsPerStep,
    stepSeconds,
    losses,
    operations,
    waitingSeconds,
    calls,
    memory,
    productRate
  }
}

/** What was asked between two readings. */
export const callsSince = (before: NativeCalls, after: NativeCalls): NativeCalls => ({
  operators: after.operators - before.operators,
  views: after.views - before.views,
  kernels: after.kernels - before.kernels,
  uploads: after.uploads - before.uploads,
  reads: after.reads - before.reads,
  seconds: after.seconds - before.seconds,
  queued: after.queued
})
