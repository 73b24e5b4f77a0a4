import type { TensorInfo } from "@tensorflow/tfjs-core"
import { aten, atenInPlace } from "../aten.ts"
import type { Kernel, KernelScope } from "../kernel.ts"
import { sameStorage } from "../kernels/matmul.ts"
import { INT64 } from "../scalar-type.ts"

const [linearOf, indexSelect, embeddingBackward, mul, unsqueeze, clone, to] = [
  aten("linear"),
  aten("index_select"),
  aten("embedding_dense_backward"),
  aten("mul.Tensor"),
  aten("unsqueeze"),
  aten("clone"),
  aten("to.dtype")
]
const indexCopy = atenInPlace("index_copy_")

const uploadIndex = (index: Int32Array, scope: KernelScope) => scope.upload(index, [index.length], INT64)

/** {x, weight} → x·Wᵀ; the weight is read as it lies. */
export const linear: Kernel = ({ weight, x }: Record<"x" | "weight", TensorInfo>, _, scope) => {
  const [rows, matrix] = sameStorage(scope.of(x), scope.of(weight), scope)
  return scope.out(linearOf(rows, matrix), "float32", [x.shape[0]!, weight.shape[0]!])
}

export const embedding: Kernel = (
  { weight }: Record<"weight", TensorInfo>,
  { ids }: { readonly ids: Int32Array },
  scope
) => scope.out(indexSelect(scope.of(weight), 0, uploadIndex(ids, scope)), "float32", [ids.length, weight.shape[1]!])

/** Equal ids are sorted together and added up in order, so the sums are the same on every run. */
export const embeddingGradient: Kernel = (
  { dy }: Record<"dy", TensorInfo>,
  { ids, rows }: { readonly ids: Int32Array; readonly rows: number },
  scope
) =>
  scope.out(embeddingBackward(scope.of(dy), uploadIndex(ids, scope), rows, -1, false), "float32", [rows, dy.shape[1]!])

export const scaleRows: Kernel = ({ factors, x }: Record<"x" | "factors", TensorInfo>, _, scope) => {
  const value = scope.of(x)
  const scaled = mul(value, unsqueeze(scope.of(factors), 1))
  return scope.out(to(scaled, scope.backend.addon.scalarType(value)), "float32", x.shape)
}

/** In place where nothing else lies in the target's memory. */
export const updateRows: Kernel = (
  { source, target }: Record<"source" | "target", TensorInfo>,
  { index }: { readonly index: Int32Array },
  scope
) => {
  const shared = scope.backend.isShared(target)
  const result = shared ? clone(scope.of(target)) : scope.of(target)
  const values = to(scope.of(source), scope.backend.addon.scalarType(result))
  if (index.length > 0) indexCopy(result, 0, uploadIndex(index, scope), values)
  return shared ? scope.out(result, target.dtype, target.shape) : scope.share(target)
}
