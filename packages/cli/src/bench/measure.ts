import { parameterCount } from "@plumbline/models"
import type { MemoryReport, ModelRuntimeShape, NativeCalls } from "@plumbline/runtime"
import { timeProducts } from "./matrix-products.ts"
import { countOperations, type Operations } from "./operations.ts"
import { shrunk } from "./shapes.ts"
import { secondsOf } from "./timing.ts"
import type { Task, Workload } from "./workloads.ts"

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
  const operations = countOperations(() => void step())
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
    calls,
    memory,
    productRate
  }
}

const callsSince = (before: NativeCalls, after: NativeCalls): NativeCalls => ({
  operators: after.operators - before.operators,
  views: after.views - before.views,
  kernels: after.kernels - before.kernels,
  uploads: after.uploads - before.uploads,
  reads: after.reads - before.reads,
  seconds: after.seconds - before.seconds,
  queued: after.queued
})

/** The host's part of a step. */
export interface Dispatch {
  /** The whole step. */
  readonly secondsPerStep: number
  /** What of it was computing on the host and no dispatch: within a library's operators that return when they are done. */
  readonly computingSeconds: number
  /** What of it passed within a library's operators and launches, whether they compute or queue, or wait for room in the queue. */
  readonly librarySeconds: number
  /** What of it passed waiting for values that the device had yet to compute. */
  readonly waitingSeconds: number
  /** All but computing and waiting, by operation of the engine: those on the tape, those of the backward pass and of the optimizer. */
  readonly secondsPerOperation: number
  /** The same by those on the tape alone. */
  readonly secondsPerTapedOperation: number
  /** What of that is ours: without the library's operators and launches. */
  readonly ownSecondsPerOperation: number
  readonly ownSecondsPerTapedOperation: number
  readonly operations: Operations
}

const DISPATCH_STEPS = 40
/** JavaScript is compiled anew while it runs for the first times. */
const DISPATCH_WARMUP = 20
const DISPATCH_TOKENS = 16

/**
 * Times the same program on a model and a batch so small that computing takes next to nothing: what is left is the
 * host's work of issuing operations. The whole step counts, backward pass and optimizer too; the quickest one, for
 * whatever else the machine does only adds.
 */
export const measureDispatch = (workload: (task: Task) => Workload, task: Task, gauges: Gauges): Dispatch => {
  const small = workload({ ...task, shape: shrunk(task.shape), batch: 1, microBatch: 1, length: DISPATCH_TOKENS })
  for (let i = 0; i < DISPATCH_WARMUP; i++) small.step()
  const steps = Array.from({ length: DISPATCH_STEPS }, () => {
    const before = gauges.calls?.()
    let operations: Operations | undefined
    const seconds = secondsOf(() => void (operations = countOperations(() => void small.step())))
    const calls = before === undefined ? undefined : callsSince(before, gauges.calls!())
    const computing = calls === undefined || calls.queued ? 0 : calls.seconds
    // on the CPU values are there when they are read
    const waiting = calls?.queued === true ? operations!.waited : 0
    return { seconds, computing, waiting, library: calls?.seconds ?? 0, operations: operations! }
  })
  small.dispose()
  const hostOf = ({ computing, seconds, waiting }: (typeof steps)[number]) => seconds - computing - waiting
  const quickest = steps.reduce((best, step) => (hostOf(step) < hostOf(best) ? step : best))
  const { computing, library, operations, seconds, waiting } = quickest
  const [host, own] = [hostOf(quickest), seconds - waiting - library]
  return {
    secondsPerStep: seconds,
    computingSeconds: computing,
    librarySeconds: library,
    waitingSeconds: waiting,
    secondsPerOperation: host / operations.total,
    secondsPerTapedOperation: host / operations.taped,
    ownSecondsPerOperation: own / operations.total,
    ownSecondsPerTapedOperation: own / operations.taped,
    operations
  }
}
