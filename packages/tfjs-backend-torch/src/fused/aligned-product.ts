import type { Handle } from "../addon.ts"
import { aten, atenInPlace } from "../aten.ts"
import type { KernelScope } from "../kernel.ts"
import { emptyOf } from "./storage.ts"
import { typeOf } from "../handle-facts.ts"

// Rows of a result that do not begin at multiples of 16 bytes are left to slower kernels by cuBLAS, whose sums are in another
// order, and at half the rate by MKL. A vocabulary of an odd number of tokens is such a case; so there is room between its rows.

/** Numbers of 16 bits in 16 bytes. */
const ALIGNMENT = 8
/** Numbers of 32 bits in a line of a CPU's cache. */
const LINE = 16

const [mm, t, narrow] = [aten("mm"), aten("t"), aten("narrow")]
const mmInto = atenInPlace("mm.out")

export const hasAlignedRows = (x: Handle, { backend }: KernelScope): boolean =>
  backend.addon.strides(x)[0]! % ALIGNMENT === 0

/** [rows, width] without values, whose rows are aligned. */
export const alignedRows = (rows: number, width: number, type: number, scope: KernelScope): Handle => {
  const unit = scope.backend.cuda === undefined ? LINE : ALIGNMENT
  const step = Math.ceil(width / unit) * unit
  const all = emptyOf([rows, step], type, scope)
  return step === width ? all : narrow(all, 1, 0, width)
}

/** x [N, I] times the transpose of a weight [O, I]: [N, O], its rows aligned. */
export const alignedProduct = (x: Handle, weight: Handle, scope: KernelScope): Handle => {
  const outputs = scope.backend.addon.shape(weight)[0]!
  if (outputs % ALIGNMENT === 0) return mm(x, t(weight))
  const out = alignedRows(scope.backend.addon.shape(x)[0]!, outputs, typeOf(x), scope)
  mmInto(x, t(weight), out)
  return out
}
