import type { MemoryReport } from "@plumbline/runtime"
import { timeProducts } from "./matrix-products.ts"
import { countOperations, type Operations } from "./operations.ts"
import { shrunk } from "./shapes.ts"
import { median, secondsOf } from "./timing.ts"
import type { Task, Workload } from "./workloads.ts"

export interface Measurement {
  readonly parameters: number
  readonly tokensPerStep: number
  readonly flopsPerStep: number
  /** Of each timed step. */
  readonly stepSeconds: ReadonlyArray<number>
  readonly losses: { readonly first: number; readonly last: number }
  readonly operations: Operations
  /** After the warm-up: what training alone takes. */
  readonly memory: MemoryReport
  /** FLOP/s of this machine's matrix products, where no peak was given. */
  readonly productRate: number | undefined
}

export interface MeasureOptions {
  readonly warmup: number
  readonly steps: number
  /** Whether matrix products are timed between the steps. */
  readonly withProducts: boolean
  readonly memoryNow: () => MemoryReport
}

/** Times steps after a warm-up, then counts what one more does. */
export const measure = (workload: Workload, options: MeasureOptions): Measurement => {
  const { memoryNow, steps, warmup, withProducts } = options
  const { flopsPerStep, policy, step, tokensPerStep } = workload
  const first = step()
  for (let i = 1; i < warmup; i++) step()
  const memory = memoryNow()
  const products = withProducts ? timeProducts(policy.config, tokensPerStep) : undefined
  const stepSeconds: Array<number> = []
  let last = first
  for (let i = 0; i < steps; i++) {
    stepSeconds.push(secondsOf(() => void (last = step())))
    products?.run()
  }
  const operations = countOperations(() => void step())
  const productRate = products?.rate()
  products?.dispose()
  const parameters = policy.variables.reduce((total, { size }) => total + size, 0)
  const losses = { first, last }
  return { parameters, tokensPerStep, flopsPerStep, stepSeconds, losses, operations, memory, productRate }
}

/** The host's part of a step. */
export interface Dispatch {
  readonly secondsPerStep: number
  readonly secondsPerTapedOperation: number
  readonly secondsPerTapeEntry: number
  readonly secondsPerOperation: number
}

const DISPATCH_STEPS = 9
const DISPATCH_TOKENS = 16

/**
 * Times the same program on a model and a batch so small that computing takes next to nothing: what is left is the
 * host's work of issuing operations. The whole step counts, backward pass and optimizer too.
 */
export const measureDispatch = (
  workload: (task: Task) => Workload,
  task: Task,
  memoryNow: () => MemoryReport
): Dispatch => {
  const small = workload({ ...task, shape: shrunk(task.shape), batch: 1, microBatch: 1, length: DISPATCH_TOKENS })
  const { operations, stepSeconds } = measure(small, {
    warmup: 3,
    steps: DISPATCH_STEPS,
    withProducts: false,
    memoryNow
  })
  small.dispose()
  const secondsPerStep = median(stepSeconds)
  return {
    secondsPerStep,
    secondsPerTapedOperation: secondsPerStep / operations.taped,
    secondsPerTapeEntry: secondsPerStep / operations.tapeEntries,
    secondsPerOperation: secondsPerStep / operations.total
  }
}
