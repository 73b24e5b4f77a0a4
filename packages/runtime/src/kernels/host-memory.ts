import { tf, type DataType } from "../tf.ts"

/** A tensor as kernels see it. */
export interface TensorInfo {
  readonly dataId: object
  readonly shape: number[]
  readonly dtype: DataType
}

export type HostArray = Float32Array | Int32Array

/** What a kernel in TypeScript needs of a backend whose tensors lie in this process's memory. */
export interface HostMemory {
  /** The tensor's values themselves, not a copy; invalid after the next `allocate`. */
  readonly view: (tensor: TensorInfo) => HostArray
  /** A new tensor; its values are not initialised. */
  readonly allocate: (shape: ReadonlyArray<number>, dtype?: "float32" | "int32") => TensorInfo
  /** Another reference to the tensor's values, as an output that aliases an input needs. */
  readonly share: (tensor: TensorInfo) => TensorInfo
  /** Whether other tensors share these values. */
  readonly isShared: (tensor: TensorInfo) => boolean
  /** To be called after writing into an existing tensor: drops what the backend derived from its old values. */
  readonly written: (tensor: TensorInfo) => void
}

/** A tensor that may be written in place of `tensor`: itself, or a copy where other tensors share its values. */
export const writable = (tensor: TensorInfo, memory: HostMemory): TensorInfo => {
  if (!memory.isShared(tensor)) return memory.share(tensor)
  const copy = memory.allocate(tensor.shape)
  memory.view(copy).set(memory.view(tensor))
  return copy
}

/** A kernel over the memory M of a backend. Each kernel states its own inputs and attributes; tfjs does not type them. */
export type Kernel<in M> = (inputs: Record<string, TensorInfo>, attrs: any, memory: M) => TensorInfo | Array<TensorInfo>

/** Registers kernels for one backend, in place of those of the same name that it has. */
export const registerKernels = <M>(
  backendName: string,
  memory: M,
  kernels: Readonly<Record<string, Kernel<M>>>
): void => {
  for (const [kernelName, kernel] of Object.entries(kernels)) {
    if (tf.getKernel(kernelName, backendName) != null) tf.unregisterKernel(kernelName, backendName)
    tf.registerKernel({
      kernelName,
      backendName,
      kernelFunc: ({ attrs, inputs }) => kernel(inputs as unknown as Record<string, TensorInfo>, attrs, memory) as never
    })
  }
}
