import { tf, type DataType, type Tensor } from "../tf.ts"

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

export type HostKernel = (
  inputs: Readonly<Record<string, TensorInfo>>,
  attrs: Readonly<Record<string, any>>,
  memory: HostMemory
) => TensorInfo | Array<TensorInfo>

/** Registers kernels written against HostMemory for one backend. */
export const registerHostKernels = (
  backendName: string,
  memory: () => HostMemory,
  kernels: Readonly<Record<string, HostKernel>>
): void => {
  for (const [kernelName, kernel] of Object.entries(kernels)) {
    tf.registerKernel({
      kernelName,
      backendName,
      kernelFunc: ({ inputs, attrs }) =>
        kernel(inputs as unknown as Record<string, Tensor>, attrs as Record<string, unknown>, memory()) as never
    })
  }
}
