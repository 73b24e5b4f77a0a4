import type { Handle } from "../addon.ts"
import { aten, atenInPlace } from "../aten.ts"
import type { KernelScope } from "../kernel.ts"
import { FLOAT32 } from "../scalar-type.ts"
import { cast, wide } from "./storage.ts"
import { isDense, typeOf } from "../handle-facts.ts"

// a·b in the storage of a. A CPU that multiplies numbers of 16 bits no quicker than float32 is handed wide copies: without
// instructions for them libtorch would multiply number by number, 30 times as slowly. Float32 is oneDNN's where MKL, which ATen
// asks, goes without AVX-512: on processors that have it and are not Intel's.

const [mm, matmul, t, onednnLinear] = [aten("mm"), aten("matmul"), aten("t"), aten("mkldnn::_linear_pointwise")]
const [mmInto, addmmInto] = [atenInPlace("mm.out"), atenInPlace("addmm_")]
const [copyInto, addInto] = [atenInPlace("copy_"), atenInPlace("add_.Tensor")]

/** Multiplications from which on oneDNN's product is quicker than MKL's where it is ever so, and the least length of an axis. */
const [LEAST_WORK, LEAST_AXIS] = [2 ** 20, 8]

/** Whether products of such numbers are made of wide copies. */
export const isWidened = (x: Handle, scope: KernelScope): boolean =>
  scope.backend.cuda === undefined && !scope.backend.hostMultiplies(typeOf(x))

/** Whether a·b is oneDNN's. */
const isOneDnns = (a: Handle, b: Handle, scope: KernelScope): boolean => {
  const { addon, hasOneDnnProducts } = scope.backend
  if (!hasOneDnnProducts || typeOf(a) !== FLOAT32 || typeOf(b) !== FLOAT32) return false
  const axes = [...addon.shape(a), addon.shape(b)[1]!]
  return Math.min(...axes) >= LEAST_AXIS && axes.reduce((work, axis) => work * axis, 1) >= LEAST_WORK
}

const byOneDnn = (a: Handle, b: Handle): Handle => onednnLinear(a, t(b), undefined, "none", [], undefined)

/** Of two matrices of one type, by the library that is quickest at it. */
const libraryProduct = (a: Handle, b: Handle, scope: KernelScope): Handle =>
  isOneDnns(a, b, scope) ? byOneDnn(a, b) : mm(a, b)

/** Of two matrices. */
export const matrixProduct = (a: Handle, b: Handle, scope: KernelScope): Handle =>
  isWidened(a, scope) ? cast(libraryProduct(wide(a), wide(b), scope), typeOf(a)) : libraryProduct(a, b, scope)

/** Whether a product is a tensor of its own first where it is wanted elsewhere. */
export const isMadeApart = (a: Handle, b: Handle, scope: KernelScope): boolean =>
  isWidened(a, scope) || isOneDnns(a, b, scope)

/** A product that is made apart, perhaps a transpose; undefined where it is made where it is wanted. */
const apart = (a: Handle, b: Handle, scope: KernelScope): Handle | undefined => {
  const widened = isWidened(a, scope)
  const [left, right] = widened ? [wide(a), wide(b)] : [a, b]
  if (!isOneDnns(left, right, scope)) return widened ? mm(left, right) : undefined
  // the first operand is copied where it does not lie in memory order, so it is to be the smaller one
  const [rows, columns] = [scope.backend.addon.shape(left)[0]!, scope.backend.addon.shape(right)[1]!]
  return isDense(left) || rows <= columns ? byOneDnn(left, right) : t(byOneDnn(t(right), t(left)))
}

/** The same into `out`. */
export const matrixProductInto = (a: Handle, b: Handle, out: Handle, scope: KernelScope): void => {
  const made = apart(a, b, scope)
  if (made === undefined) mmInto(a, b, out)
  else copyInto(out, made)
}

/** sum += scale·a·b */
export const addMatrixProduct = (sum: Handle, a: Handle, b: Handle, scope: KernelScope, scale = 1): void => {
  const made = apart(a, b, scope)
  if (made === undefined) addmmInto(sum, a, b, 1, scale)
  else addInto(sum, made, scale)
}

/** Of two stacks of matrices. */
export const stackProduct = (a: Handle, b: Handle, scope: KernelScope): Handle =>
  isWidened(a, scope) ? cast(matmul(wide(a), wide(b)), typeOf(a)) : matmul(a, b)
