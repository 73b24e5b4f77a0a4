import { callsSince, type Gauges } from "./measure.ts"
import { countOperations, type Operations } from "./operations.ts"
import { watchReads } from "./reads.ts"
import { shrunk } from "./shapes.ts"
import { repeated, secondsOf } from "./timing.ts"
import type { Task, Workload } from "./workloads.ts"

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

const DISPATCH_STEPS = 200
/** JavaScript is compiled anew while it runs for the first times, in the background: after 20 steps it takes half as long again. */
const DISPATCH_WARMUP = 200
/** Of each, on an engine so slow that they would take longer. */
const DISPATCH_SECONDS = 4
const DISPATCH_TOKENS = 16

/**
 * Times the same program on a model and a batch so small that computing takes next to nothing: what is left is the
 * host's work of issuing operations. The whole step counts, backward pass and optimizer too; the quickest one, for
 * whatever else the machine does only adds. Operations are counted in a step of their own, as counting takes time.
 */
export const measureDispatch = (workload: (task: Task) => Workload, task: Task, gauges: Gauges): Dispatch => {
  const small = workload({ ...task, shape: shrunk(task.shape), batch: 1, microBatch: 1, length: DISPATCH_TOKENS })
  repeated(DISPATCH_WARMUP, DISPATCH_SECONDS, small.step)
  const steps = watchReads((waited) =>
    repeated(DISPATCH_STEPS, DISPATCH_SECONDS, () => {
      const [before, waitedBefore] = [gauges.calls?.(), waited()]
      const seconds = secondsOf(() => void small.step())
      const calls = before === undefined ? undefined : callsSince(before, gauges.calls!())
      const computing = calls === undefined || calls.queued ? 0 : calls.seconds
      // on the CPU values are there when they are read
      const waiting = calls?.queued === true ? waited() - waitedBefore : 0
      return { seconds, computing, waiting, library: calls?.seconds ?? 0 }
    })
  )
  const operations = countOperations(() => void small.step())
  small.dispose()
  const hostOf = ({ computing, seconds, waiting }: (typeof steps)[number]) => seconds - computing - waiting
  const quickest = steps.reduce((best, step) => (hostOf(step) < hostOf(best) ? step : best))
  const { computing, library, seconds, waiting } = quickest
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
