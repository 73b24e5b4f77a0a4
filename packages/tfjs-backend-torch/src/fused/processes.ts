import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten, atenOwned } from "../aten.ts"
import { type Kernel, type KernelScope, sizeOf } from "../kernel.ts"
import { STORAGE_TYPES } from "../scalar-type.ts"
import { cast, dense, renewCopy, wide } from "./storage.ts"
import { isDense, typeOf } from "../handle-facts.ts"

const [clone, narrow, reshape] = [aten("clone"), aten("narrow"), aten("reshape")]
const [full, expand] = [aten("full"), atenOwned("expand")]
const reshapeOwned = atenOwned("reshape")

/** {x} → the sum of all processes' x, in float32 however their kernels have stored it */
export const sumOverProcesses: Kernel = ({ x }: Record<"x", TensorInfo>, _, scope) => {
  const sum = scope.temporary(scope.backend.addon.groupSum(wide(dense(x, scope))))
  return scope.out(sum, "float32", x.shape)
}

/** {x} → [size / processes]: this process's part of that sum, once it is settled; x travels as activations are stored, in all processes */
export const sumPart: Kernel = ({ x }: Record<"x", TensorInfo>, _, scope) => {
  const { addon, storage } = scope.backend
  const part = scope.temporary(addon.groupSumPart(cast(dense(x, scope), STORAGE_TYPES[storage])))
  return scope.out(part, "float32")
}

/** [] → [], after which the parts of sums are there */
export const settleSums: Kernel = (_inputs, _, scope) => {
  scope.backend.addon.groupSettle()
  return []
}

/** {x}, {rank, processes} → [size / processes]: a copy of that part of x */
export const ownPart: Kernel = (
  { x }: Record<"x", TensorInfo>,
  { processes, rank }: { readonly processes: number; readonly rank: number },
  scope
) => {
  const count = sizeOf(x.shape) / processes
  const part = clone(narrow(reshape(scope.of(x), [-1]), 0, rank * count, count))
  return scope.out(part, "float32", [count])
}

/**
 * {part, whole} → the whole of all processes' parts as it is stored, in place where nothing shares its memory, with its copy for
 * products
 */
export const joinParts: Kernel = ({ part, whole }: Record<"part" | "whole", TensorInfo>, _, scope) => {
  const { backend } = scope
  const target = scope.of(whole)
  const own = cast(dense(part, scope), typeOf(target))
  if (backend.isShared(whole) || !isDense(target)) {
    const copy = clone(dense(whole, scope))
    backend.addon.groupJoinParts(own, copy)
    return scope.out(copy, "float32", whole.shape)
  }
  backend.addon.groupJoinParts(own, target)
  const copy = backend.companion(whole)
  if (copy !== undefined) renewCopy(copy, target, scope)
  return scope.written(whole)
}

/** [part, …, whole, …] → []: gives each whole memory of its own, as products read it, and begins to gather all processes' parts there */
export const gatherParts: Kernel = (tensors: ReadonlyArray<TensorInfo>, _, scope) => {
  const { addon, storage } = scope.backend
  const count = tensors.length / 2
  const parts = tensors.slice(0, count).map((part) => dense(part, scope))
  const wholes = addon.groupGather(parts, STORAGE_TYPES[storage]).map((whole) => scope.temporary(whole))
  wholes.forEach((whole, i) => {
    const target = tensors[count + i]!
    scope.backend.replace(target, reshapeOwned(whole, target.shape))
  })
  return []
}

/** [] → [], after which what was gathered is there */
export const awaitGathers: Kernel = (_inputs, _, scope) => {
  scope.backend.addon.groupAwait()
  return []
}

/** {}, {shape} → a tensor of that shape in the memory of one number, NaN: whatever reads it shows */
export const withoutValues: Kernel = (_inputs, { shape }: { readonly shape: ReadonlyArray<number> }, scope) =>
  scope.out(scope.temporary(notThere(shape, scope)), "float32", shape)

/** [whole, …] → []: frees what was gathered */
export const releaseValues: Kernel = (wholes: ReadonlyArray<TensorInfo>, _, scope) => {
  for (const whole of wholes) scope.backend.replace(whole, notThere(whole.shape, scope))
  return []
}

const notThere = (shape: ReadonlyArray<number>, scope: KernelScope): Handle => {
  const { device, storage } = scope.backend
  return expand(full([], NaN, STORAGE_TYPES[storage], undefined, device), shape, false)
}
