import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten } from "../aten.ts"
import { type Kernel, type KernelScope, sizeOf } from "../kernel.ts"
import { FLOAT32 } from "../scalar-type.ts"
import { dense, renewCopy, typeOf, wide } from "./storage.ts"

const [clone, narrow, reshape] = [aten("clone"), aten("narrow"), aten("reshape")]

/** What processes add up is float32 in each of them, however their kernels have stored it. */
const summand = (x: TensorInfo, scope: KernelScope): Handle => wide(dense(x, scope), scope)

/** {x} → the sum of all processes' x */
export const sumOverProcesses: Kernel = ({ x }: Record<"x", TensorInfo>, _, scope) => {
  const sum = scope.temporary(scope.backend.addon.groupSum(summand(x, scope)))
  return scope.out(sum, "float32", x.shape)
}

/** {x} → [size / processes]: this process's part of that sum */
export const sumPart: Kernel = ({ x }: Record<"x", TensorInfo>, _, scope) => {
  const part = scope.temporary(scope.backend.addon.groupSumPart(summand(x, scope)))
  return scope.out(part, "float32")
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

/** {part, whole} → the whole of all processes' parts, in place where nothing shares its memory, with its copy for products */
export const joinParts: Kernel = ({ part, whole }: Record<"part" | "whole", TensorInfo>, _, scope) => {
  const { backend } = scope
  const own = wide(dense(part, scope), scope)
  const target = scope.of(whole)
  if (backend.isShared(whole) || typeOf(target, scope) !== FLOAT32 || !backend.addon.isDense(target)) {
    const copy = clone(wide(dense(whole, scope), scope))
    backend.addon.groupJoinParts(own, copy)
    return scope.out(copy, "float32", whole.shape)
  }
  backend.addon.groupJoinParts(own, target)
  const copy = backend.companion(whole)
  if (copy !== undefined) renewCopy(copy, target, scope)
  return scope.written(whole)
}
