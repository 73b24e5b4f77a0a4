import type { Handle } from "../addon.ts"
import { aten, atenInPlace } from "../aten.ts"
import type { KernelScope } from "../kernel.ts"
import { alignedProduct, hasAlignedRows } from "./aligned-product.ts"
import { compareRowsOnce, waves } from "./compared-rows.ts"
import { typeOf } from "../handle-facts.ts"

// Products whose rows have the same bits however many there are. cuBLAS promises that of none, but its kernels on tensor cores
// add up along the common axis in one order unless they split it, which is switched off, and unless a product has very few
// rows, to which zeros are added. As it is no promise, it is seen to for each shape of a weight before the first use.

/** Rows from which on no kernel of another kind is chosen. */
const LEAST_ROWS = 64
/** Rows at which a shape is compared with many. */
const COMPARED = [64, 65, 100, 128, 200, 256, 300, 512, 1000, 1024, 2048]
const MOST_COMPARED = 4096
/** Numbers of a product that is compared, at most. */
const MOST_NUMBERS = 2 ** 27
/** Numbers of a weight that is made up for the comparison; larger ones are taken as they are. */
const MOST_MADE = 2 ** 24

const [t, narrow, pad] = [aten("t"), aten("narrow"), aten("constant_pad_nd")]
const contiguous = aten("contiguous")
const [mmInto, copyInto] = [atenInPlace("mm.out"), atenInPlace("copy_")]

const shapeOf = (x: Handle, scope: KernelScope) => scope.backend.addon.shape(x) as [number, number]

/** x [N, I] times the transpose of a weight [O, I] of the same storage: [N, O]. */
export const invariantProduct = (x: Handle, weight: Handle, scope: KernelScope): Handle => {
  compareOnce(weight, scope)
  const [rows] = shapeOf(x, scope)
  if (rows === 0 || rows >= LEAST_ROWS) return contiguous(alignedProduct(x, weight, scope))
  const padded = pad(x, [0, 0, 0, LEAST_ROWS - rows], 0)
  return contiguous(narrow(alignedProduct(padded, weight, scope), 0, 0, rows))
}

export const invariantProductInto = (x: Handle, weight: Handle, out: Handle, scope: KernelScope): void => {
  if (shapeOf(x, scope)[0] < LEAST_ROWS || !hasAlignedRows(out, scope))
    return copyInto(out, invariantProduct(x, weight, scope))
  compareOnce(weight, scope)
  mmInto(x, t(weight), out)
}

/** Sees to a weight of this shape, by other rows. */
const compareOnce = (weight: Handle, scope: KernelScope): void => {
  const type = typeOf(weight)
  const [outputs, inner] = shapeOf(weight, scope)
  const most = Math.max(1, Math.min(MOST_COMPARED, Math.floor(MOST_NUMBERS / Math.max(outputs, inner))))
  const multiply = () => {
    const matrix = outputs * inner > MOST_MADE ? weight : waves([outputs, inner], 0.37, type, scope)
    const rows = waves([most, inner], 0.71, type, scope)
    return (count: number) => alignedProduct(narrow(rows, 0, 0, count), matrix, scope)
  }
  const name = `product/${type}/${outputs}/${inner}`
  compareRowsOnce({ name, inner, outputs, compared: COMPARED, most }, multiply, scope)
}
