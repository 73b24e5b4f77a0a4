import { type Handle, loadAddon, type Trace } from "./addon.ts"
import { temporary } from "./aten.ts"
import type { KernelScope } from "./kernel.ts"

/** What decides, beside the layout of its tensors, what a function asks of libtorch. */
type Constant = number | boolean | undefined

type Tensors = ReadonlyArray<Handle | undefined>

/** Results of `tensors`, freed with the kernel's temporaries unless they become outputs. */
type Computation<C extends ReadonlyArray<Constant>> = (
  scope: KernelScope,
  tensors: Tensors,
  ...constants: C
) => ReadonlyArray<Handle>

/** Constants come in any number, so what is known of them is given up from time to time. */
const MOST_TRACES = 256

let isRecording = false

/** Whether what is called is recorded. */
export const isTracing = (): boolean => isRecording

/** Runs `body` while what it calls is recorded, and then `end`, however it ends. */
export const whileTracing = <R>(body: () => R, end: () => void): R => {
  isRecording = true
  try {
    return body()
  } finally {
    isRecording = false
    end()
  }
}

/**
 * `compute`, whose operators are recorded once for each layout of its tensors and each set of constants and then called
 * again in one crossing into the addon. What it does may depend on nothing else: neither on values, nor on what else lies in
 * their memory. What it cannot do again, as kernels of our own, it does as it is.
 */
export const traced = <C extends ReadonlyArray<Constant>>(compute: Computation<C>): Computation<C> => {
  const traces = new Map<string, Trace>()
  return (scope, tensors, ...constants) => {
    const { addon, isBatchInvariant, storage } = scope.backend
    // batch-invariant products look at values where they meet a new shape
    if (isRecording || isBatchInvariant) return compute(scope, tensors, ...constants)
    const key = `${storage},${constants.join()}`
    if (traces.size >= MOST_TRACES) traces.clear()
    const trace = traces.get(key) ?? newTrace(traces, key)
    const known = addon.traceRun(trace, tensors)
    if (known === null) return compute(scope, tensors, ...constants)
    if (known === undefined) return recorded(trace, tensors, () => compute(scope, tensors, ...constants))
    for (const handle of known) temporary(handle)
    return known
  }
}

const newTrace = (traces: Map<string, Trace>, key: string): Trace => {
  const trace = loadAddon().traceNew()
  traces.set(key, trace)
  return trace
}

const recorded = (trace: Trace, tensors: Tensors, compute: () => ReadonlyArray<Handle>): ReadonlyArray<Handle> => {
  const addon = loadAddon()
  addon.traceBegin(trace, tensors)
  let results: ReadonlyArray<Handle> | undefined
  return whileTracing(
    () => (results = compute()),
    () => addon.traceEnd(results)
  )
}
