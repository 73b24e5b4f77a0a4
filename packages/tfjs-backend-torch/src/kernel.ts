import {
  type DataType,
  getKernel,
  type KernelConfig,
  registerKernel,
  type TensorInfo,
  unregisterKernel,
  util
} from "@tensorflow/tfjs-core"
import type { Handle } from "./addon.ts"
import { aten, inScope, temporary } from "./aten.ts"
import type { TorchBackend } from "./backend.ts"
import { hasHostKernel, runOnHost } from "./host-kernels.ts"
import { typeOf } from "./handle-facts.ts"
import { ComplexNumbers, FLOAT32, StringsStayOnHost } from "./scalar-type.ts"

export const BACKEND = "torch"

type Inputs = Record<string, TensorInfo>

const to = aten("to.dtype")

/** What a kernel sees: handles of its inputs, and a way to return outputs. Temporaries are freed when it ends. */
export class KernelScope {
  readonly backend: TorchBackend

  constructor(backend: TorchBackend) {
    this.backend = backend
  }

  /** The input's handle, in its shape, on the device. */
  of(tensor: TensorInfo): Handle {
    return this.backend.handle(tensor)
  }

  /** The same in real numbers of a scalar type. */
  numbers(tensor: TensorInfo, type: number): Handle {
    if (tensor.dtype === "complex64") throw new ComplexNumbers(tensor.shape)
    return to(this.of(tensor), type)
  }

  /** The same, in float32 where its numbers are stored narrower: for operators that take no mixture of both. */
  wide(tensor: TensorInfo): Handle {
    const handle = this.of(tensor)
    return tensor.dtype === "float32" && typeOf(handle) !== FLOAT32 ? to(handle, FLOAT32) : handle
  }

  /** The input's handle, where the operator also takes a single number that is still on the host. */
  operand(tensor: TensorInfo): Handle {
    return this.backend.handleOrNumber(tensor)
  }

  /** An output; its shape is asked of libtorch where it is not given. */
  out(handle: Handle, dtype: DataType, shape: ReadonlyArray<number> = this.backend.addon.shape(handle)): TensorInfo {
    return this.backend.adopt(handle, dtype, shape)
  }

  /** An output on an input's own memory. */
  share(tensor: TensorInfo, shape: ReadonlyArray<number> = tensor.shape): TensorInfo {
    return this.backend.share(tensor, shape)
  }

  /** The input itself as an output, its values written anew. */
  written(tensor: TensorInfo): TensorInfo {
    this.backend.forgetValues(tensor)
    return this.backend.share(tensor, tensor.shape)
  }

  /** Runs `body` and frees what it made before going on; nothing it made may become an output. */
  nested(body: () => void): void {
    inScope(body)
  }

  /** Has the handle freed with the temporaries, unless it becomes an output. */
  temporary(handle: Handle): Handle {
    return temporary(handle)
  }

  /** The values of a small input on the host; waits for the device. */
  values(tensor: TensorInfo): ArrayLike<number> {
    return this.backend.readSync(tensor.dataId) as ArrayLike<number>
  }

  /** A tensor of host values; freed with the temporaries unless it becomes an output. */
  upload(
    values: Float32Array | Int32Array | Uint8Array | BigInt64Array,
    shape: ReadonlyArray<number>,
    type: number
  ): Handle {
    return temporary(this.backend.addon.fromHost(values, shape, type, this.backend.device))
  }
}

export type Kernel = (
  // oxlint-disable-next-line typescript/no-explicit-any -- tfjs types the inputs and attributes of a kernel by its name alone
  inputs: any,
  // oxlint-disable-next-line typescript/no-explicit-any
  attrs: any,
  scope: KernelScope
) => TensorInfo | Array<TensorInfo>

/** Kernels by the names tfjs-core gives them. */
export type Kernels = Readonly<Record<string, Kernel>>

/** The kernel, whose outputs hold one value throughout where each of its inputs does. */
export const keepsUniform =
  (kernel: Kernel): Kernel =>
  (inputs, attrs, scope) => {
    const outputs = kernel(inputs, attrs, scope)
    const alike = Object.values(inputs as Inputs).every((input) => scope.backend.isUniform(input))
    if (alike) for (const output of [outputs].flat()) scope.backend.setUniform(output)
    return outputs
  }

export const kernelConfig = (kernelName: string, kernel: Kernel): KernelConfig => ({
  kernelName,
  backendName: BACKEND,
  kernelFunc: ({ attrs, backend, inputs }) => {
    try {
      return inScope(kernel, inputs as Inputs, attrs, scopeOf(backend as TorchBackend))
    } catch (cause) {
      if (!(cause instanceof StringsStayOnHost) || !hasHostKernel(kernelName)) throw cause
      return runOnHost(kernelName, inputs as Inputs, attrs ?? {}, backend as TorchBackend)
    }
  }
})

/** A kernel whose work is done on the host. */
export const hostKernel =
  (kernelName: string): Kernel =>
  (inputs, attrs, { backend }) =>
    runOnHost(kernelName, inputs, attrs, backend)

let lastScope: KernelScope | undefined

/** A scope holds nothing of a kernel's own. */
const scopeOf = (backend: TorchBackend): KernelScope => {
  if (lastScope?.backend !== backend) lastScope = new KernelScope(backend)
  return lastScope
}

/** Adds a kernel to the backend, in place of one of that name. */
export const registerTorchKernel = (kernelName: string, kernel: Kernel): void => {
  if (getKernel(kernelName, BACKEND) != null) unregisterKernel(kernelName, BACKEND)
  registerKernel(kernelConfig(kernelName, kernel))
}

/** Takes a kernel away again, so that what it did is composed of others. */
export const unregisterTorchKernel = (kernelName: string): void => {
  if (getKernel(kernelName, BACKEND) != null) unregisterKernel(kernelName, BACKEND)
}

export const sizeOf = (shape: ReadonlyArray<number>): number => util.sizeFromShape(shape as Array<number>)
