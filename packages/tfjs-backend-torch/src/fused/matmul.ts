import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten } from "../aten.ts"
import type { Kernel, KernelScope } from "../kernel.ts"
import { matmulKernels, type Operands, type Transposed } from "../kernels/matmul.ts"
import { FLOAT32 } from "../scalar-type.ts"
import { traced } from "../traced.ts"
import { products } from "./linears.ts"
import { matrixProduct } from "./matrix-product.ts"
import { activation, cast } from "./storage.ts"
import { typeOf } from "../handle-facts.ts"
import { replayed } from "../replayed.ts"

const t = aten("t")

/** {x, weight} → x·Wᵀ in the backend's storage; the transpose is a view. */
export const linear: Kernel = replayed(
  { inputs: ["x", "weight"] },
  ({ weight, x }: { readonly x: TensorInfo; readonly weight: TensorInfo }, _, scope) => {
    const rows = activation(x, scope)
    const [values] = products(scope, [rows, scope.backend.compute(weight)])
    return scope.out(values!, "float32", [x.shape[0]!, weight.shape[0]!])
  }
)

const productOf = traced((scope, [a, b], transposeA: boolean, transposeB: boolean) => [
  matrixProduct(transposeA ? t(a) : a!, transposeB ? t(b) : b!, scope)
])

/** tfjs's product. Of two matrices of which one is narrow, the other is narrowed: by the copy it has, where it has one. */
export const batchMatMul: Kernel = replayed(
  { inputs: ["a", "b"], constants: ["transposeA", "transposeB"] },
  (operands: Operands, attrs: Transposed, scope) => {
    const { a, b } = operands
    const matrices = a.shape.length === 2 && b.shape.length === 2 && a.dtype === "float32" && b.dtype === "float32"
    const inner = matrices ? [a.shape[attrs.transposeA ? 0 : 1], b.shape[attrs.transposeB ? 1 : 0]] : [0, 1]
    if (inner[0] !== inner[1]) return matmulKernels["BatchMatMul"]!(operands, attrs, scope)
    const [left, right] = inOneStorage(a, b, scope)
    const [values] = productOf(scope, [left, right], attrs.transposeA, attrs.transposeB)
    return scope.out(values!, "float32", [a.shape[attrs.transposeA ? 1 : 0]!, b.shape[attrs.transposeB ? 0 : 1]!])
  }
)

const inOneStorage = (a: TensorInfo, b: TensorInfo, scope: KernelScope): [Handle, Handle] => {
  const [left, right] = [scope.of(a), scope.of(b)]
  const [leftType, rightType] = [typeOf(left), typeOf(right)]
  if (leftType === rightType) return [left, right]
  const narrowed = (tensor: TensorInfo, type: number) => cast(scope.backend.compute(tensor), type)
  return leftType === FLOAT32 ? [narrowed(a, rightType), right] : [left, narrowed(b, leftType)]
}
