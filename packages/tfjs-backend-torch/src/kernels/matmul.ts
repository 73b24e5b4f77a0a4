import { backend_util, broadcast_util, type DataType, type TensorInfo, upcastType, util } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten } from "../aten.ts"
import type { Kernel, Kernels, KernelScope } from "../kernel.ts"
import { stackProduct } from "../fused/matrix-product.ts"
import { FLOAT64, scalarTypeOf } from "../scalar-type.ts"
import { type Ending, withEnding } from "./activation.ts"
import { typeOf } from "../handle-facts.ts"

export interface Operands {
  readonly a: TensorInfo
  readonly b: TensorInfo
}

export interface Transposed {
  readonly transposeA: boolean
  readonly transposeB: boolean
}

const [matmul, transpose, to, einsumOf] = [aten("matmul"), aten("transpose.int"), aten("to.dtype"), aten("einsum")]

/** Whole numbers below 2⁵³ are exact in float64, for which every device has a product. */
const isWhole = (dtype: DataType): boolean => dtype === "int32" || dtype === "bool"

/** [outer, inner] of an operand, as the product reads it. */
const matrixShape = (shape: ReadonlyArray<number>, transposed: boolean): [number, number] => {
  const [rows, columns] = shape.slice(-2) as [number, number]
  return transposed ? [columns, rows] : [rows, columns]
}

const productShape = ({ a, b }: Operands, { transposeA, transposeB }: Transposed): Array<number> => {
  util.assert(
    a.shape.length >= 2 && b.shape.length >= 2,
    () => `Error in matMul: operands must be at least of rank 2, got ranks ${a.shape.length} and ${b.shape.length}.`
  )
  const [rows, innerA] = matrixShape(a.shape, transposeA)
  const [innerB, columns] = matrixShape(b.shape, transposeB)
  util.assert(
    innerA === innerB,
    () =>
      `Error in matMul: inner shapes (${innerA}) and (${innerB}) of Tensors with shapes ${a.shape} and ${b.shape} and transposeA=${transposeA} and transposeB=${transposeB} must match.`
  )
  return [...broadcast_util.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2)), rows, columns]
}

/** Products of 16-bit and 32-bit operands are computed in 16 bits, as autocast does. */
export const sameStorage = (a: Handle, b: Handle): [Handle, Handle] => {
  const [left, right] = [typeOf(a), typeOf(b)]
  if (left === right) return [a, b]
  return left < right === (left !== 5) ? [to(a, right), b] : [a, to(b, left)]
}

const product = (operands: Operands, { transposeA, transposeB }: Transposed, scope: KernelScope): Handle => {
  const oriented = (tensor: TensorInfo, transposed: boolean) => {
    const handle = scope.of(tensor)
    return transposed ? transpose(handle, -2, -1) : handle
  }
  const [a, b] = [oriented(operands.a, transposeA), oriented(operands.b, transposeB)]
  if (isWhole(operands.a.dtype)) return matmul(to(a, FLOAT64), to(b, FLOAT64))
  return stackProduct(...sameStorage(a, b), scope)
}

const batchMatMul: Kernel = (operands: Operands, attrs: Transposed, scope) => {
  const shape = productShape(operands, attrs)
  return scope.out(product(operands, attrs, scope), operands.a.dtype, shape)
}

const fusedMatMul: Kernel = (
  inputs: Operands & { readonly bias?: TensorInfo; readonly preluActivationWeights?: TensorInfo },
  attrs: Transposed & Ending,
  scope
) => {
  const shape = productShape(inputs, attrs)
  const [bias, slopes] = [inputs.bias, inputs.preluActivationWeights].map((tensor) =>
    tensor == null ? undefined : scope.of(tensor)
  )
  return scope.out(withEnding(product(inputs, attrs, scope), bias, slopes, attrs), inputs.a.dtype, shape)
}

const einsum: Kernel = (inputs: Record<string, TensorInfo>, { equation }: { readonly equation: string }, scope) => {
  const tensors = Object.values(inputs)
  const { allDims, idDims, summedDims } = backend_util.decodeEinsumEquation(equation, tensors.length)
  backend_util.checkEinsumDimSizes(allDims.length, idDims, tensors as never)
  backend_util.getEinsumComputePath(summedDims, idDims)
  const dtype = tensors.map((tensor) => tensor.dtype).reduce(upcastType)
  const type = isWhole(dtype) ? FLOAT64 : scalarTypeOf(dtype)
  const handles = tensors.map((tensor) => to(scope.of(tensor), type))
  return scope.out(einsumOf(equation, handles), dtype)
}

export const matmulKernels: Kernels = { BatchMatMul: batchMatMul, Einsum: einsum, _FusedMatMul: fusedMatMul }
