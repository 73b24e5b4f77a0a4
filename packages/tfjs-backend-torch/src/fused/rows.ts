import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten, atenInPlace } from "../aten.ts"
import { keepsUniform, type Kernel, type KernelScope } from "../kernel.ts"
import { INT64 } from "../scalar-type.ts"
import { cudaStorage } from "./cuda/kernels.ts"
import { cudaAddRowSums, cudaRowSums, cudaScaleRows } from "./cuda/row-launches.ts"
import { rowSums } from "./row-sums.ts"
import { activation, cast, dense, wide, zerosOf } from "./storage.ts"
import { isDense, typeOf } from "../handle-facts.ts"
import { replayed } from "../replayed.ts"

const [addTo, indexSelect, embeddingBackward, mul, unsqueeze, clone, to] = [
  aten("add.Tensor"),
  aten("index_select"),
  aten("embedding_dense_backward"),
  aten("mul.Tensor"),
  aten("unsqueeze"),
  aten("clone"),
  aten("to.dtype")
]
const indexCopy = atenInPlace("index_copy_")

const uploadIndex = (index: Int32Array, scope: KernelScope) => scope.upload(index, [index.length], INT64)

export const embedding: Kernel = (
  { weight }: Record<"weight", TensorInfo>,
  { ids }: { readonly ids: Int32Array },
  scope
) =>
  scope.out(indexSelect(scope.backend.compute(weight), 0, uploadIndex(ids, scope)), "float32", [
    ids.length,
    weight.shape[1]!
  ])

/** x in the storage of activations, in memory of its own or x's. */
export const narrow: Kernel = ({ x }: Record<"x", TensorInfo>, _, scope) => {
  const handle = activation(x, scope)
  return typeOf(handle) === typeOf(scope.of(x)) ? scope.share(x) : scope.out(handle, x.dtype, x.shape)
}

export const takeRows: Kernel = keepsUniform(
  ({ x }: Record<"x", TensorInfo>, { ids }: { readonly ids: Int32Array }, scope) =>
    scope.out(indexSelect(scope.of(x), 0, uploadIndex(ids, scope)), x.dtype, [ids.length, x.shape[1]!])
)

const areDistinct = (ids: Int32Array, rows: number): boolean => {
  const seen = new Uint8Array(rows)
  for (const id of ids) {
    if (seen[id] === 1) return false
    seen[id] = 1
  }
  return true
}

/** [rows, D]: rows of distinct ids are copied; those of equal ones are added up in order, in float32, so the sums are the same on every run. */
const byId = (slope: Handle, ids: Int32Array, rows: number, scope: KernelScope): Handle => {
  if (!areDistinct(ids, rows)) return addedRows(slope, ids, rows, scope)
  const gradient = zerosOf([rows, scope.backend.addon.shape(slope)[1]!], typeOf(slope), scope)
  if (ids.length > 0) indexCopy(gradient, 0, uploadIndex(ids, scope), slope)
  return gradient
}

export const embeddingGradient: Kernel = (
  { dy }: Record<"dy", TensorInfo>,
  { ids, rows }: { readonly ids: Int32Array; readonly rows: number },
  scope
) => scope.out(byId(dense(dy, scope), ids, rows, scope), "float32", [rows, dy.shape[1]!])

/** In the sum's memory where that is its own, on CUDA: of all its rows those alone are read and written that are added to. */
export const addEmbeddingGradient: Kernel = (
  { dy, sum }: Record<"dy" | "sum", TensorInfo>,
  { ids }: { readonly ids: Int32Array },
  scope
) => {
  const [slope, total, rows] = [dense(dy, scope), scope.of(sum), sum.shape[0]!]
  const T = cudaStorage([slope, total], scope)
  if (T === undefined || !isDense(total) || scope.backend.isShared(sum)) {
    return scope.out(addTo(total, byId(slope, ids, rows, scope)), "float32", sum.shape)
  }
  if (ids.length > 0) cudaAddRowSums(slope, rowSums(ids, rows), total, T, scope)
  return scope.written(sum)
}

const addedRows = (slope: Handle, ids: Int32Array, rows: number, scope: KernelScope): Handle => {
  const T = cudaStorage([slope], scope)
  if (T !== undefined) return cudaRowSums(slope, rowSums(ids, rows), rows, T, scope)
  const sums = embeddingBackward(wide(slope), uploadIndex(ids, scope), rows, -1, false)
  return cast(sums, typeOf(slope))
}

export const scaleRows: Kernel = replayed(
  { inputs: ["x", "factors"] },
  ({ factors, x }: Record<"x" | "factors", TensorInfo>, _, scope) => {
    const value = dense(x, scope)
    const T = cudaStorage([value], scope)
    if (T !== undefined) {
      return scope.out(cudaScaleRows(value, wide(dense(factors, scope)), T, scope), "float32", x.shape)
    }
    const scaled = mul(value, unsqueeze(scope.of(factors), 1))
    return scope.out(to(scaled, typeOf(value)), "float32", x.shape)
  }
)

/** In place where nothing else lies in the target's memory, so that what is recorded finds it there; in the target's storage. */
export const updateRows: Kernel = (
  { source, target }: Record<"source" | "target", TensorInfo>,
  { index }: { readonly index: Int32Array },
  scope
) => {
  const before = scope.of(target)
  const values = cast(scope.of(source), typeOf(before))
  const inPlace = !scope.backend.isShared(target)
  const result = inPlace ? before : clone(before)
  if (index.length > 0) indexCopy(result, 0, uploadIndex(index, scope), values)
  if (!inPlace) return scope.out(result, target.dtype, target.shape)
  scope.backend.setCompanion(target, undefined)
  return scope.written(target)
}
