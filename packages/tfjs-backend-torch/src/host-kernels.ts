import { MathBackendCPU } from "@tensorflow/tfjs-backend-cpu"
import { getKernel, type TensorInfo } from "@tensorflow/tfjs-core"
import type { TorchBackend } from "./backend.ts"

/** What a kernel is given: tensors by name or in a list, lists of them, or nothing where an input is optional. */
interface Inputs {
  readonly [name: string]: TensorInfo | ReadonlyArray<TensorInfo> | null | undefined
}

let host: MathBackendCPU | undefined

/** Without the advice to install a native backend, which it gives at its first use. */
const quietHost = (): MathBackendCPU => Object.assign(new MathBackendCPU(), { firstUse: false })

/** Whether tfjs's CPU backend has a kernel of the name. */
export const hasHostKernel = (name: string): boolean => getKernel(name, "cpu") != null

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
  const cpu = (host ??= quietHost())
  const alive: Array<TensorInfo> = []
  const held = (tensor: TensorInfo): TensorInfo => {
    alive.push(tensor)
    return tensor
  }
  const toHost = ({ dataId, dtype, shape }: TensorInfo): TensorInfo =>
    held({ dataId: cpu.write(backend.readSync(dataId), shape, dtype), dtype, shape })
  const fromHost = ({ dataId, dtype, shape }: TensorInfo): TensorInfo => ({
    dataId: backend.write(cpu.readSync(dataId), shape, dtype),
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
