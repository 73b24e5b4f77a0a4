import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import type { CpuKernels } from "./cpu-kernels.ts"
import { openAddon, TorchUnavailable } from "./open-addon.ts"

export { TorchUnavailable } from "./open-addon.ts"

declare const handleBrand: unique symbol
declare const operatorBrand: unique symbol
declare const cudaKernelBrand: unique symbol
declare const traceBrand: unique symbol

/** A number that stands for a tensor of libtorch until it is disposed, and for nothing afterwards. */
export type Handle = number & { readonly [handleBrand]: true }

export interface Operator {
  readonly [operatorBrand]: true
}

/** Operators as they were called once, for tensors of several layouts. */
export interface Trace {
  readonly [traceBrand]: true
}

/** A CUDA kernel compiled at run time. */
export interface CudaKernel {
  readonly [cudaKernelBrand]: true
}

export type Argument = number | boolean | string | null | undefined | ReadonlyArray<Argument>

export type HostValues = Float32Array | Float64Array | Int32Array | Uint8Array | Uint16Array | BigInt64Array

/** Bytes, by the caching allocator. */
export interface CudaMemory {
  readonly allocated: number
  readonly peakAllocated: number
  readonly reserved: number
  readonly peakReserved: number
  readonly free: number
}

export interface CudaDevice {
  readonly name: string
  readonly bytes: number
  readonly multiprocessors: number
  /** Compute capability, 90 for 9.0. */
  readonly capability: number
}

/** What was asked of libtorch since the process began. */
export interface CallStatistics {
  /** ATen operators that computed something. */
  readonly operators: number
  /** ATen operators that made a view or memory without values. */
  readonly views: number
  /** CUDA kernels of ours. */
  readonly kernels: number
  readonly uploads: number
  readonly reads: number
  /** Within operators and launches, apart from what the addon does around them. */
  readonly seconds: number
}

/** What the addon has only where it was built with CUDA. */
export interface CudaAddon {
  readonly cudaStart: (index: number) => CudaDevice
  readonly cudaSynchronize: () => void
  /** Whether products of 16-bit numbers may be added up along their common axis in several pieces, as at first; needs torch 2.11. */
  readonly cudaSplitK: (allowed: boolean) => void
  readonly cudaMemory: (resetPeaks?: boolean) => CudaMemory
  readonly cudaEmptyCache: () => void
  readonly eventRecord: () => object
  readonly eventDone: (event: object) => boolean
  /** Milliseconds. */
  readonly eventElapsed: (from: object, to: object) => number
  readonly graphBegin: () => object
  readonly graphEnd: (graph: object) => void
  readonly graphReplay: (graph: object) => void
  readonly graphReset: (graph: object) => void
  /** Queues copies to the host; the handles may be freed at once, but not written to before the read has ended. */
  readonly readBegin: (handles: ReadonlyArray<Handle>) => object
  /** Waits for them, and for nothing that was queued later; one array a handle. */
  readonly readEnd: <T extends ReadonlyArray<HostValues>>(read: object, arrays: T) => T
  /**
   * `signature` has a letter an argument: p tensor or null, s tensor of any strides, t matrix of bfloat16 in boxes of 64 columns
   * (compute capability 9.0), i int32, l int64, f float32. Letters in brackets before them are the members of structs: the
   * kernel's first argument is an array of such, by value, of at most 4096 bytes with all others, given as a Float64Array of a
   * row each, 0 in place of an absent tensor. A kernel that is launched early (compute capability 9.0) itself waits for those
   * before it, by `griddepcontrol.wait`.
   */
  readonly kernelCompile: (
    source: string,
    name: string,
    signature: string,
    early: boolean,
    sharedBytes: number
  ) => CudaKernel
  /** Whether kernels may take matrices in boxes. */
  readonly kernelsCopyBoxes: () => boolean
  readonly kernelLaunch: (
    kernel: CudaKernel,
    blocks: number,
    threads: number,
    ...args: ReadonlyArray<KernelArgument>
  ) => void
}

/** A tensor or none, a number, items, or a matrix and the rows of a box of it. */
export type KernelArgument = Handle | number | null | Float64Array | readonly [matrix: Handle, boxRows: number]

/** How a process finds the others that compute with it. */
export interface Membership {
  readonly rank: number
  readonly size: number
  /** Where they meet. */
  readonly host: string
  readonly port: number
  /** Whether they meet in this process; else in one started beforehand. */
  readonly meetsHere: boolean
  /** Of the names they use there. */
  readonly prefix: string
  /** Milliseconds that one waits for the others, who may still be loading a model, and that its device waits for theirs. */
  readonly patience: number
  /** CUDA device, or below 0 the host. */
  readonly device: number
}

export interface HandleStatistics {
  readonly handles: number
  /** What the handles show; memory that several show counts for each. */
  readonly bytes: number
  /** What the garbage collector is to count: the memory of tensors on the host, a 256th of it on a device, no views. */
  readonly collectableBytes: number
  /** What it has been told of those, in steps; of what was disposed of, late. */
  readonly toldBytes: number
}

/** The native addon: tensors of libtorch, and any ATen operator on them. */
export interface Addon extends CpuKernels, Partial<CudaAddon> {
  readonly torchVersion: string
  readonly operator: (name: string, overload: string) => Operator
  /**
   * A tensor, a list of tensors or a number. Where the operator has several results a list of them, with null in place of
   * numbers; nothing where it writes into its arguments.
   */
  readonly call: (operator: Operator, ...args: ReadonlyArray<Argument>) => unknown
  readonly traceNew: () => Trace
  /** The outputs; undefined where nothing was recorded of such tensors, null where what was called cannot be called again. */
  readonly traceRun: (trace: Trace, tensors: ReadonlyArray<Handle | undefined>) => Array<Handle> | null | undefined
  /** Every call from here to `traceEnd` belongs to the trace. */
  readonly traceBegin: (trace: Trace, tensors: ReadonlyArray<Handle | undefined>) => void
  /** Without outputs, as where a call threw, nothing is kept. */
  readonly traceEnd: (outputs: ReadonlyArray<Handle> | undefined) => void
  /** Every call from here to `programEnd` belongs to a program on these tensors. */
  readonly programBegin: (tensors: ReadonlyArray<Handle>) => void
  /** Its number; below 0 without outputs, or where what was called cannot be called again. */
  readonly programEnd: (outputs: ReadonlyArray<Handle> | undefined) => number
  /**
   * Runs it on the first of `operands`, whose place its outputs take. False, and nothing done, where tensors lie otherwise to
   * each other than when they were asked for it (`joined`).
   */
  readonly programRun: (program: number) => boolean
  readonly programReset: (program: number) => void
  readonly operands: Float64Array
  /** A number for dtype, device, sizes and strides; never of two such. */
  readonly layout: (handle: Handle) => number
  readonly fromHost: (values: HostValues, shape: ReadonlyArray<number>, scalarType: number, device: string) => Handle
  /** The values of a tensor on the host, there. Neither waits for what the device has still to do where they are few. */
  readonly toDevice: (handle: Handle, scalarType: number, device: string) => Handle
  /** Memory without values, on that CUDA device or, below 0, on the host. */
  readonly empty: (shape: ReadonlyArray<number>, scalarType: number, index: number) => Handle
  readonly toHost: <T extends HostValues>(handle: Handle, values: T) => T
  /** Fills a tensor with as many values of its dtype; on a device, after what is queued there. */
  readonly write: (handle: Handle, values: HostValues) => void
  readonly shape: (handle: Handle) => Array<number>
  readonly strides: (handle: Handle) => Array<number>
  /** One tensor over all of these where they lie side by side along `axis` in one memory, in this order; else null. */
  readonly joined: (handles: ReadonlyArray<Handle>, axis: number) => Handle | null
  /** Whether another tensor lies in the memory of one of them. */
  readonly isShared: (...handles: ReadonlyArray<Handle>) => boolean
  /** Has every call on CPU tensors recorded until recordEnd, as it is done. */
  readonly recordBegin: () => object
  readonly recordEnd: (recording: object) => void
  /**
   * Does the calls again, on the values there are then, into the same tensors. False, and nothing done, where memory that they
   * read and have not made is gone.
   */
  readonly recordReplay: (recording: object) => boolean
  readonly recordReset: (recording: object) => void
  readonly dispose: (handles: ReadonlyArray<Handle>) => void
  /** Tells the garbage collector that what was disposed of last was what it had found: it has to hear of that soon. */
  readonly collected: () => void
  /** How many handles follow that are to be disposed before whatever is called next; see `free`. */
  readonly disposals: Float64Array
  readonly seed: (seed: number) => void
  readonly threads: (count?: number) => number
  readonly deterministic: (flag: boolean) => void
  /** Resolves once all have come. */
  readonly groupJoin: (own: Membership) => Promise<void>
  readonly groupLeave: () => void
  /** Whatever the others wait for fails with this reason. */
  readonly groupFail: (reason: string) => void
  /** Why the others can no longer be waited for; empty as long as they can. */
  readonly groupFault: () => string
  /** Every process's bytes, in their order; any numbers of them. Waits for all. */
  readonly groupExchange: (bytes: Uint8Array) => ReadonlyArray<Uint8Array>
  /** A new tensor: all processes' added up. Queued on a device, as what follows. */
  readonly groupSum: (x: Handle) => Handle
  /** This process's part of the sum, one of as many equal ones as there are processes; flat, float32, there after `groupSettle`. */
  readonly groupSumPart: (x: Handle) => Handle
  /** What is queued from here on finds the parts that were begun. */
  readonly groupSettle: () => void
  /** Writes every process's part into its place of a contiguous tensor. */
  readonly groupJoinParts: (part: Handle, whole: Handle) => void
  /**
   * Of each part a new flat tensor of that dtype, which holds all processes' parts; there after `groupAwait`. They lie end to end
   * in one memory.
   */
  readonly groupGather: (parts: ReadonlyArray<Handle>, dtype: number) => ReadonlyArray<Handle>
  /** What is queued from here on finds the gathers that were begun. */
  readonly groupAwait: () => void
  readonly callStatistics: () => CallStatistics
  /** Handles alive, and the bytes they show. */
  readonly handleStatistics: () => HandleStatistics
  /** Bytes on the host, by libtorch's allocator: of tensors, each once, and of temporaries within operators. */
  readonly hostMemory: (resetPeak?: boolean) => Pick<CudaMemory, "allocated" | "peakAllocated">
}

/** What libtorch, or the addon's own checks, threw. */
export interface TorchError extends Error {
  readonly name: "TorchError"
  /**
   * `argument` is a mistake of the caller; `device` a fault of the GPU, after which nothing runs there any more; `peer` says
   * that another process is gone or has failed.
   */
  readonly kind: "operator" | "out-of-memory" | "device" | "argument" | "peer"
  readonly operator: string
  /** Dtypes and shapes of the operator's arguments, as text. */
  readonly shapes: string
  readonly bytesAsked: number | null
  readonly bytesFree: number | null
}

export const isTorchError = (cause: unknown): cause is TorchError =>
  cause instanceof Error && cause.name === "TorchError"

/** Where setup:torch puts what it makes: the repository's `.torch`. */
export const ADDON_FOLDER = join(import.meta.dirname, "../../../.torch")
export const ADDON_RECORD = join(ADDON_FOLDER, "addon.json")

/** The addon of this process's environment (`PLUMBLINE_TORCH_ADDON`), else the one that setup:torch built last. */
export const addonPath = (): string | undefined => {
  const explicit = process.env["PLUMBLINE_TORCH_ADDON"]
  if (explicit !== undefined && explicit !== "") return explicit
  const path = recordedPath()
  return path !== undefined && existsSync(path) ? path : undefined
}

const recordedPath = (): string | undefined => {
  if (!existsSync(ADDON_RECORD)) return undefined
  try {
    return (JSON.parse(readFileSync(ADDON_RECORD, "utf8")) as { readonly path: string }).path
  } catch {
    return undefined
  }
}

let loaded: Addon | undefined

/** @throws TorchUnavailable */
export const loadAddon = (): Addon => {
  if (loaded !== undefined) return loaded
  const path = addonPath()
  if (path === undefined) throw new TorchUnavailable("the torch addon is not built; run: npm run setup:torch")
  loaded = openAddon(path) as Addon
  return loaded
}
