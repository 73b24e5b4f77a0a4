import { kernelOf } from "./kernel-registry.ts"
import { forEachSaved, reachIn, shapeOf } from "./tape-reach.ts"
import { standInFor } from "./tape-remade.ts"
import { endScope, type ScopedEngine } from "./tape-scope.ts"
import { tf, type NamedTensorMap, type Tensor } from "./tf.ts"

type TensorInfo = Pick<Tensor, "dataId" | "shape" | "dtype">

/** A call of a registered kernel; one of `customGrad` has no name. */
interface Call {
  readonly kernelName?: string
  readonly inputs: NamedTensorMap
  readonly attrs?: Record<string, unknown>
}

/** What tfjs's engine notes of values, by their data ids. */
interface Info {
  readonly backend: unknown
}

interface InfoById {
  readonly get: (dataId: object) => Info | undefined
  readonly has: (dataId: object) => boolean
  readonly set: (dataId: object, info: Info) => unknown
  readonly delete: (dataId: object) => unknown
}

/** What we use of tfjs's engine. */
interface Engine extends ScopedEngine {
  runKernelFunc: (call: Call) => unknown
  runKernel: (name: string, inputs: NamedTensorMap, attrs?: Record<string, unknown>) => unknown
  clone: (x: Tensor) => Tensor
  endScope: (result?: unknown) => void
  readonly keep: (tensor: Tensor) => Tensor
  readonly nextTensorId: () => number
  readonly backend: { readonly incRef: (dataId: object) => void }
  readonly backendName: string
  readonly makeTensorFromTensorInfo: (info: TensorInfo) => Tensor
  readonly saveTensorsForBackwardMode: (tensors: Array<Tensor>) => Array<Tensor>
  readonly getTensorsForGradient: (
    name: string,
    inputs: NamedTensorMap,
    outputs: ReadonlyArray<Tensor>
  ) => Array<Tensor>
  readonly addTapeNode: (
    name: string,
    inputs: NamedTensorMap,
    outputs: ReadonlyArray<Tensor>,
    gradient: null,
    saved: ReadonlyArray<Tensor>,
    attrs: unknown
  ) => void
  readonly state: ScopedEngine["state"] & {
    readonly gradientDepth: number
    kernelDepth: number
    readonly profiling: boolean
    readonly numDataBuffers: number
    tensorInfo: InfoById
  }
}

const patched = new WeakSet<object>()

/**
 * Takes detours out of how tfjs runs a kernel, whose bookkeeping costs more than most operators: flags that are looked up
 * again and again, closures, a weak map that is asked several times for each tensor, and operations of their own, taped as
 * well, that clone what a gradient will need. Here that is one more reference to the same values. For backends whose tensors
 * share values by counting references.
 */
export const shortenKernelCalls = (backendName: string): void => {
  const engine = tf.engine() as unknown as Engine
  if (patched.has(engine)) return
  patched.add(engine)
  engine.state.tensorInfo = new InfoOnIds(engine.state.numDataBuffers > 0 ? engine.state.tensorInfo : undefined)
  const { clone, endScope: endAnyScope, runKernel, runKernelFunc } = engine
  // of what is asked for each operation, flags are read as they lie: no one of them is left to be found out
  const isOurs = () => isActive() && !engine.state.profiling && tf.env().getFlags()["DEBUG"] !== true
  const isActive = () => engine.backendName === backendName
  engine.runKernelFunc = (call) =>
    call.kernelName !== undefined && isOurs()
      ? run(engine, call.kernelName, call.inputs, call.attrs ?? {})
      : runKernelFunc.call(engine, call)
  // tfjs's own says first whether there is such a kernel, which what follows does, too
  engine.runKernel = (name, inputs, attrs) =>
    isActive()
      ? engine.runKernelFunc(attrs === undefined ? { kernelName: name, inputs } : { kernelName: name, inputs, attrs })
      : runKernel.call(engine, name, inputs, attrs)
  engine.endScope = (result) => {
    if (result == null) endScope(engine, [])
    else if (result instanceof tf.Tensor) endScope(engine, [result])
    else endAnyScope.call(engine, result)
  }
  // what `customGrad` saves
  engine.clone = (x) => {
    const { gradientDepth, kernelDepth, tensorInfo } = engine.state
    const plain =
      gradientDepth === 1 && kernelDepth > 0 && isOurs() && tensorInfo.get(x.dataId)?.backend === engine.backend
    return plain ? reference(engine, x) : clone.call(engine, x)
  }
}

/** Finds what is noted of values without hashing: it is on the data id itself. */
class InfoOnIds implements InfoById {
  private readonly key = Symbol("what tfjs notes of these values")
  private readonly before: InfoById | undefined

  /** @param before where ids are sought that there were already */
  constructor(before: InfoById | undefined) {
    this.before = before
  }

  get(dataId: object): Info | undefined {
    return (dataId as Record<symbol, Info | undefined>)[this.key] ?? this.before?.get(dataId)
  }

  has(dataId: object): boolean {
    return this.get(dataId) !== undefined
  }

  set(dataId: object, info: Info): void {
    ;(dataId as Record<symbol, Info | undefined>)[this.key] = info
  }

  delete(dataId: object): void {
    ;(dataId as Record<symbol, Info | undefined>)[this.key] = undefined
    this.before?.delete(dataId)
  }
}

/** Runs a kernel, and has the tape keep what its gradient needs. */
const run = (engine: Engine, name: string, inputs: NamedTensorMap, attrs: Record<string, unknown>): unknown => {
  const { backend, state } = engine
  const taped = state.gradientDepth > 0 && state.kernelDepth === 0
  let outputs: Array<Tensor>
  let saved: ReadonlyArray<Tensor> = []
  let isList: boolean
  state.kernelDepth += 1
  try {
    const kernel = kernelOf(name, engine.backendName)
    if (kernel === undefined) throw new Error(`Kernel '${name}' not registered for backend '${engine.backendName}'`)
    const out = kernel.kernelFunc({ inputs, attrs: attrs as never, backend })
    isList = Array.isArray(out)
    outputs = Array.isArray(out) ? [] : [tensorOf(engine, out)]
    if (Array.isArray(out)) for (const info of out) outputs.push(tensorOf(engine, info))
    if (taped) saved = savedBy(engine, name, inputs, outputs)
  } finally {
    state.kernelDepth -= 1
  }
  if (taped) engine.addTapeNode(name, inputs, outputs, null, saved, attrs)
  return isList ? outputs : outputs[0]
}

/** What the tape is to keep for the gradient of an operation. */
const savedBy = (
  engine: Engine,
  kernel: string,
  inputs: NamedTensorMap,
  outputs: ReadonlyArray<Tensor>
): ReadonlyArray<Tensor> => {
  const reach = reachIn(engine)
  const asked = reach?.inputs(inputs)
  if (asked === undefined) {
    return engine.saveTensorsForBackwardMode(engine.getTensorsForGradient(kernel, inputs, outputs))
  }
  const saved: Array<Tensor> = []
  forEachSaved({ kernel, inputs, outputs }, reach!.rules, asked, (tensor, isRead) =>
    saved.push(isRead ? kept(engine, tensor) : engine.keep(shapeOf(tensor, engine)))
  )
  return saved
}

const kept = (engine: Engine, tensor: Tensor): Tensor => standInFor(engine)(tensor) ?? engine.keep(engine.clone(tensor))

const tensorOf = (engine: Engine, info: unknown): Tensor => {
  const { rank } = info as { readonly rank?: number }
  return rank === undefined ? engine.makeTensorFromTensorInfo(info as TensorInfo) : (info as Tensor)
}

const reference = (engine: Engine, x: Tensor): Tensor => {
  engine.backend.incRef(x.dataId)
  return engine.makeTensorFromTensorInfo(x as unknown as TensorInfo)
}
