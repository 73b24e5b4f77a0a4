import type { Handle } from "../addon.ts"
import { aten, atenInPlace } from "../aten.ts"
import type { KernelScope } from "../kernel.ts"
import { cast, wide } from "./storage.ts"
import { typeOf } from "../handle-facts.ts"

// a·b in the storage of a. A CPU that multiplies numbers of 16 bits no quicker than float32 is handed wide copies: without
// instructions for them libtorch would multiply number by number, 30 times as slowly.

const [mm, matmul] = [aten("mm"), aten("matmul")]
const [mmInto, addmmInto] = [atenInPlace("mm.out"), atenInPlace("addmm_")]
const [copyInto, addInto] = [atenInPlace("copy_"), atenInPlace("add_.Tensor")]

/** Whether products of such numbers are made of wide copies. */
export const isWidened = (x: Handle, scope: KernelScope): boolean =>
  scope.backend.cuda === undefined && !scope.backend.hostMultiplies(typeOf(x))

const wideProduct = (a: Handle, b: Handle): Handle => mm(wide(a), wide(b))

/** Of two matrices. */
export const matrixProduct = (a: Handle, b: Handle, scope: KernelScope): Handle =>
  isWidened(a, scope) ? cast(wideProduct(a, b), typeOf(a)) : mm(a, b)

/** The same into `out`. */
export const matrixProductInto = (a: Handle, b: Handle, out: Handle, scope: KernelScope): void => {
  if (isWidened(a, scope)) copyInto(out, wideProduct(a, b))
  else mmInto(a, b, out)
}

/** sum += scale·a·b */
export const addMatrixProduct = (sum: Handle, a: Handle, b: Handle, scope: KernelScope, scale = 1): void => {
  if (isWidened(a, scope)) addInto(sum, wideProduct(a, b), scale)
  else addmmInto(sum, a, b, 1, scale)
}

/** Of two stacks of matrices. */
export const stackProduct = (a: Handle, b: Handle, scope: KernelScope): Handle =>
  isWidened(a, scope) ? cast(matmul(wide(a), wide(b)), typeOf(a)) : matmul(a, b)
