import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten, atenInPlace } from "../aten.ts"
import type { Kernel, KernelScope } from "../kernel.ts"
import { traced } from "../traced.ts"
import { addMatrixProduct } from "./matrix-product.ts"
import { product } from "./product.ts"
import { activation, cast } from "./storage.ts"
import { typeOf } from "../handle-facts.ts"

const [t, clone] = [aten("t"), aten("clone")]
const addTo = atenInPlace("add_.Tensor")

/** [sum, x, W]: sum += scale·x·Wᵀ */
const add = traced((scope, [sum, x, weight], scale: number) => {
  const [type, matrix] = [typeOf(x!), cast(weight!, typeOf(x!))]
  // where a row is to have the same bits whatever rows are beside it, which ATen's product does not promise
  const isOwn = scope.backend.cuda === undefined || scope.backend.isBatchInvariant
  if (typeOf(sum!) !== type || isOwn) addTo(sum, product(x!, matrix, scope), scale)
  else addMatrixProduct(sum!, x!, t(matrix), scope, scale)
  return []
})

/** Whether a matrix is at least half of each row of the memory it lies in: to keep it keeps little else. */
const fillsRows = (handle: Handle, columns: number, { backend }: KernelScope): boolean =>
  2 * columns >= backend.addon.strides(handle)[0]!

/**
 * {sum, x, weight}, {scale} → sum + scale·x·Wᵀ: in place where no other tensor is on the sum's values, unless it is a few columns
 * of a joint product, all of which it would keep.
 */
export const addProduct: Kernel = (
  { sum, weight, x }: Record<"sum" | "weight" | "x", TensorInfo>,
  { scale }: { readonly scale: number },
  scope
) => {
  const { backend } = scope
  // columns of a joint product share memory, but no numbers, with those beside them
  const values = scope.of(sum)
  const isOwn = backend.refCount(sum.dataId) === 1 && fillsRows(values, sum.shape[1]!, scope)
  const total = isOwn ? values : clone(values)
  add(scope, [total, activation(x, scope), backend.compute(weight)], scale)
  if (!isOwn) return scope.out(total, "float32", sum.shape)
  backend.setCompanion(sum, undefined)
  return scope.written(sum)
}
