import type * as Cpu from "@tensorflow/tfjs-backend-cpu"
import { findBackendFactory, getKernel, type KernelBackend, type TensorInfo } from "@tensorflow/tfjs-core"
import { createRequire } from "node:module"
import type { TorchBackend } from "./backend.ts"
import type { Values } from "./host-values.ts"

/** What a kernel is given: tensors by name or in a list, lists of them, or nothing where an input is optional. */
interface Inputs {
  readonly [name: string]: TensorInfo | ReadonlyArray<TensorInfo> | null | undefined
}

let host: KernelBackend | undefined

/** tfjs's CPU backend as this package has it, which registers its kernels where it is loaded first. */
const ownCopy = () => createRequire(import.meta.url)("@tensorflow/tfjs-backend-cpu") as typeof Cpu

/**
 * A backend of the copy that the program has, as `@tensorflow/tfjs` brings one, else of ours: a second copy would register every
 * kernel anew, with a warning for each. So this waits until it is needed.
 */
const startHost = (): KernelBackend => {
  const ofProgram = findBackendFactory("cpu")
  const started = ofProgram == null ? new (ownCopy().MathBackendCPU)() : (ofProgram() as KernelBackend)
  // without the advice to install a native backend, which it gives at its first use
  return Object.assign(started, { firstUse: false })
}

const hostOf = (): KernelBackend => (host ??= startHost())

/** Whether tfjs's CPU backend has a kernel of the name. */
export const hasHostKernel = (name: string): boolean => hostOf() !== undefined && getKernel(name, "cpu") != null

/**
 * Runs the kernel of that name that tfjs's CPU backend has, on copies of the inputs: for strings, and for the index
 * bookkeeping of sparse and ragged tensors, which is a loop on the host in every backend.
 *
 * @returns tensors of the torch backend
 */
export const runOnHost = (
  name: string,
  inputs: Inputs,
  attrs: object,
  backend: TorchBackend
): TensorInfo | Array<TensorInfo> => {
  const cpu = hostOf()
  const alive: Array<TensorInfo> = []
  const held = (tensor: TensorInfo): TensorInfo => {
    alive.push(tensor)
    return tensor
  }
  const toHost = ({ dataId, dtype, shape }: TensorInfo): TensorInfo =>
    held({ dataId: cpu.write(backend.readSync(dataId), shape, dtype), dtype, shape })
  const fromHost = ({ dataId, dtype, shape }: TensorInfo): TensorInfo => ({
    dataId: backend.write(cpu.readSync(dataId) as Values, shape, dtype),
    dtype,
    shape
  })
  try {
    const moved = Object.entries(inputs).map(([key, input]) => {
      if (input == null) return [key, input]
      return [key, Array.isArray(input) ? input.map(toHost) : toHost(input as TensorInfo)]
    })
    const copies = Array.isArray(inputs) ? moved.map(([, copy]) => copy) : Object.fromEntries(moved)
    const outputs = getKernel(name, "cpu").kernelFunc({ inputs: copies, attrs: attrs as never, backend: cpu })
    return Array.isArray(outputs) ? outputs.map(held).map(fromHost) : fromHost(held(outputs))
  } finally {
    for (const { dataId } of alive) cpu.disposeData(dataId, true)
  }
}
