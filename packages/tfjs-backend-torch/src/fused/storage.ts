import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten, atenInPlace } from "../aten.ts"
import { type KernelScope, sizeOf } from "../kernel.ts"
import { BFLOAT16, FLOAT32, STORAGE_TYPES } from "../scalar-type.ts"
import { isDense, typeOf } from "../handle-facts.ts"

const [to, contiguous, zeros, reshape] = [aten("to.dtype"), aten("contiguous"), aten("zeros"), aten("reshape")]
const copyInto = atenInPlace("copy_")

export const cast = (handle: Handle, type: number): Handle => (typeOf(handle) === type ? handle : to(handle, type))

export const wide = (handle: Handle): Handle => cast(handle, FLOAT32)

/** An activation as products read it: float32 ones narrowed to the backend's storage. */
export const activation = (x: TensorInfo, scope: KernelScope): Handle => {
  const handle = scope.of(x)
  const narrow = STORAGE_TYPES[scope.backend.storage]
  return narrow !== FLOAT32 && typeOf(handle) === FLOAT32 ? to(handle, narrow) : handle
}

/** In memory order, as our CUDA kernels read tensors; the handle itself where it is already. */
export const dense = (tensor: TensorInfo, scope: KernelScope): Handle => {
  const handle = scope.of(tensor)
  return isDense(handle) ? handle : contiguous(handle)
}

/**
 * The tensor as a matrix [N, rest], whose rows our CUDA kernels take at any distance: columns of a larger one stay where
 * they are.
 */
export const matrix = (tensor: TensorInfo, scope: KernelScope): Handle => {
  const width = sizeOf(tensor.shape.slice(1))
  return inRows(scope.of({ ...tensor, shape: [tensor.shape[0]!, width] }), scope)
}

/** The same of a handle. */
export const matrixOf = (x: Handle, scope: KernelScope): Handle => {
  const [rows, ...rest] = scope.backend.addon.shape(x)
  return inRows(reshape(x, [rows, sizeOf(rest)]), scope)
}

const inRows = (x: Handle, { backend }: KernelScope): Handle => (backend.addon.strides(x)[1] === 1 ? x : contiguous(x))

/** Float32 or bfloat16 on the CPU, where our CPU kernels read it. */
export const isHostReal = (handle: Handle, scope: KernelScope): boolean =>
  scope.backend.device === "cpu" && (typeOf(handle) === FLOAT32 || typeOf(handle) === BFLOAT16)

export const emptyOf = (shape: ReadonlyArray<number>, type: number, scope: KernelScope): Handle =>
  scope.temporary(scope.backend.addon.empty(shape, type, scope.backend.deviceIndex))

export const zerosOf = (shape: ReadonlyArray<number>, type: number, scope: KernelScope): Handle =>
  zeros(shape, type, undefined, scope.backend.device)

/** Gives the copy of a weight that products read the weight's new values. */
export const renewCopy = (copy: Handle, weight: Handle, scope: KernelScope): void =>
  copyInto(copy, reshape(weight, scope.backend.addon.shape(copy)))
