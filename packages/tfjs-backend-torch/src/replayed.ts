import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "./addon.ts"
import type { TorchBackend } from "./backend.ts"
import type { Kernel, KernelScope } from "./kernel.ts"
import type { TensorData } from "./tensor-data.ts"
import { isTracing, whileTracing } from "./traced.ts"

/** An attribute, or a number made of several, that decides what a kernel asks of libtorch. */
type Constant = number | boolean | string | undefined

type Attributes = Readonly<Record<string, unknown>>

/** What a kernel's outputs depend on. */
export interface Dependence {
  /** Names of its tensors, of which some may be absent; undefined where it is given a list. */
  readonly inputs?: ReadonlyArray<string>
  /** Names of the attributes it reads, or what it takes from them; undefined where that is no few numbers. */
  readonly constants?: ReadonlyArray<string> | ((inputs: never, attrs: never) => ReadonlyArray<Constant> | undefined)
  /** What the backend is to have beside its tensors before the kernel runs, made where it is not there yet. */
  readonly prepare?: (inputs: never, scope: KernelScope) => void
}

/** An output: memory of its own, or an input's. */
interface Output {
  readonly info: Pick<TensorInfo, "shape" | "dtype">
  readonly layout: number
  /** The input's place; below 0 memory of its own. */
  readonly shared: number
}

/** What a kernel did once for such inputs. */
interface Program {
  readonly constants: ReadonlyArray<Constant>
  readonly layouts: ReadonlyArray<number>
  readonly shapes: ReadonlyArray<ReadonlyArray<number> | undefined>
  /** The addon's number for it; below 0 where it cannot be done again. */
  readonly number: number
  readonly outputs: ReadonlyArray<Output>
  readonly isList: boolean
  /** Of the same hash. */
  readonly next: Program | undefined
}

/** Shapes and constants come in any number, so what is known of them is given up from time to time. */
const MOST_PROGRAMS = 256
/** As many as the addon's `operands` has room for. */
const MOST_OPERANDS = 64

class Programs {
  readonly backend: TorchBackend
  private readonly byHash = new Map<number, Program>()
  private count = 0

  constructor(backend: TorchBackend) {
    this.backend = backend
  }

  find(hash: number): Program | undefined {
    return this.byHash.get(hash)
  }

  add(hash: number, made: Omit<Program, "next">): void {
    if (this.count >= MOST_PROGRAMS) this.clear()
    this.count += 1
    this.byHash.set(hash, { ...made, next: this.byHash.get(hash) })
  }

  clear(): void {
    for (const first of this.byHash.values()) {
      for (let program: Program | undefined = first; program !== undefined; program = program.next) {
        if (program.number >= 0) this.backend.addon.programReset(program.number)
      }
    }
    this.byHash.clear()
    this.count = 0
  }
}

/**
 * `kernel`, of which everything that it asks of libtorch and of the addon's CPU kernels is recorded once for each layout of
 * its inputs and each set of constants, and then done again in one crossing, without the kernel. It may depend on nothing
 * else. Where it looks at values, at whether memory is shared, or does what cannot be recorded, it runs as it is; also where
 * tensors lie side by side that did not, or no longer do.
 */
export const replayed = ({ constants = [], inputs: names, prepare }: Dependence, kernel: Kernel): Kernel => {
  let programs: Programs | undefined
  const constantsOf =
    typeof constants === "function"
      ? (constants as (inputs: unknown, attrs: Attributes) => ReadonlyArray<Constant> | undefined)
      : (_: unknown, attrs: Attributes) => valuesOf(attrs, constants)
  return (inputs, attrs, scope) => {
    const { backend } = scope
    // whoever records more than a kernel is to see every operator; batch-invariant products look at values
    if (backend.isRecording || backend.isBatchInvariant || isTracing()) return kernel(inputs, attrs, scope)
    const given = constantsOf(inputs, attrs)
    const tensors = listed(inputs, names)
    if (given === undefined || 2 * tensors.length > MOST_OPERANDS) return kernel(inputs, attrs, scope)
    if (programs?.backend !== backend) {
      programs?.clear()
      programs = new Programs(backend)
    }
    prepare?.(inputs as never, scope)
    const data = dataOf(tensors, backend)
    const layouts = layoutsOf(data)
    const hash = hashOf(layouts)
    const known = found(programs.find(hash), given, layouts, tensors)
    if (known !== undefined) {
      const again = known.number < 0 ? undefined : replay(known, tensors, data, backend)
      return again ?? kernel(inputs, attrs, scope)
    }
    const handles = operandsOf(data)
    // what is done with one tensor twice says nothing of two
    if (new Set(handles).size < handles.length) return kernel(inputs, attrs, scope)
    const done = recorded(() => kernel(inputs, attrs, scope), tensors, handles, backend)
    programs.add(hash, { ...done.program, constants: given, layouts, shapes: tensors.map((tensor) => tensor?.shape) })
    return done.result
  }
}

const NOTHING: ReadonlyArray<Constant> = []

const valuesOf = (attrs: Attributes, names: ReadonlyArray<string>): ReadonlyArray<Constant> => {
  if (names.length === 0) return NOTHING
  const values: Array<Constant> = []
  for (const name of names) values.push(attrs[name] as Constant)
  return values
}

type Tensors = ReadonlyArray<TensorInfo | undefined>

const listed = (inputs: Record<string, TensorInfo>, names: ReadonlyArray<string> | undefined): Tensors =>
  names === undefined ? (inputs as unknown as Tensors) : named(inputs, names)

const named = (inputs: Record<string, TensorInfo>, names: ReadonlyArray<string>): Tensors => {
  const tensors: Array<TensorInfo | undefined> = []
  for (const name of names) tensors.push(inputs[name])
  return tensors
}

type Data = ReadonlyArray<TensorData | undefined>

const dataOf = (tensors: Tensors, backend: TorchBackend): Data => {
  const data: Array<TensorData | undefined> = []
  for (const tensor of tensors) data.push(tensor === undefined ? undefined : backend.onDevice(tensor))
  return data
}

/** Of each tensor, and of the copy that products read; 0 for what is absent. */
const layoutsOf = (data: Data): ReadonlyArray<number> => {
  const layouts: Array<number> = []
  for (const each of data) layouts.push(each?.layout ?? 0, each?.companionLayout ?? 0)
  return layouts
}

const operandsOf = (data: Data): ReadonlyArray<Handle> => {
  const handles: Array<Handle> = []
  for (const each of data) {
    if (each === undefined) continue
    handles.push(each.handle!)
    if (each.companion !== undefined) handles.push(each.companion)
  }
  return handles
}

const hashOf = (layouts: ReadonlyArray<number>): number => {
  let hash = layouts.length
  for (let i = 0; i < layouts.length; i++) hash = (Math.imul(hash, 31) + layouts[i]!) | 0
  return hash
}

const found = (
  first: Program | undefined,
  constants: ReadonlyArray<Constant>,
  layouts: ReadonlyArray<number>,
  tensors: Tensors
): Program | undefined => {
  for (let program = first; program !== undefined; program = program.next) {
    if (
      areEqual(program.constants, constants) &&
      areEqual(program.layouts, layouts) &&
      haveShapes(tensors, program.shapes)
    )
      return program
  }
  return undefined
}

const areEqual = (a: ReadonlyArray<unknown>, b: ReadonlyArray<unknown>): boolean => {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

const haveShapes = (tensors: Tensors, shapes: Program["shapes"]): boolean => {
  for (let i = 0; i < shapes.length; i++) {
    const shape = shapes[i]
    if (shape !== undefined && !areEqual(tensors[i]!.shape, shape)) return false
  }
  return true
}

/** Undefined, and nothing done, where it cannot be done again with tensors that lie so to each other. */
const replay = (
  program: Program,
  tensors: Tensors,
  data: Data,
  backend: TorchBackend
): ReturnType<Kernel> | undefined => {
  const { isList, number, outputs } = program
  const { operands } = backend.addon
  let count = 0
  for (const each of data) {
    if (each === undefined) continue
    operands[count++] = each.handle!
    if (each.companion !== undefined) operands[count++] = each.companion
  }
  if (!backend.addon.programRun(number)) return undefined
  let place = 0
  const made: Array<TensorInfo> = []
  for (const { info, layout, shared } of outputs) {
    if (shared >= 0) made.push(backend.share(tensors[shared]!, info.shape))
    else made.push(backend.made(operands[place++] as Handle, info, layout))
  }
  return isList ? made : made[0]!
}

type Made = Pick<Program, "number" | "outputs" | "isList">

const NEVER: Made = { number: -1, outputs: [], isList: false }

/** Runs the kernel, and keeps what it did. */
const recorded = (
  compute: () => ReturnType<Kernel>,
  tensors: Tensors,
  handles: ReadonlyArray<Handle>,
  backend: TorchBackend
): { readonly result: ReturnType<Kernel>; readonly program: Made } => {
  const { addon } = backend
  const before = backend.notes
  addon.programBegin(handles)
  let results: ReadonlyArray<Handle> | undefined
  let outputs: ReadonlyArray<Output> = []
  let number = -1
  const result = whileTracing(
    () => {
      const done = compute()
      const infos = [done].flat()
      outputs = infos.map((info) => outputOf(info, tensors, backend))
      const own = infos.filter((_, i) => outputs[i]!.shared < 0).map((info) => backend.onDevice(info))
      // what was noted of values, or asked about them, a replay would neither note nor ask
      if (backend.notes === before && new Set(own).size === own.length) results = own.map(({ handle }) => handle!)
      return done
    },
    () => void (number = addon.programEnd(results))
  )
  return { result, program: number < 0 ? NEVER : { number, outputs, isList: Array.isArray(result) } }
}

const outputOf = (info: TensorInfo, tensors: Tensors, backend: TorchBackend): Output => {
  const { dtype, shape } = info
  const shared = tensors.findIndex((tensor) => tensor?.dataId === info.dataId)
  return { info: { dtype, shape }, layout: shared < 0 ? backend.onDevice(info).layout : 0, shared }
}
