import type { Handle } from "../addon.ts"
import { aten, atenInPlace, inScope } from "../aten.ts"
import { BatchInvarianceUnavailable } from "../batch-invariance.ts"
import type { KernelScope } from "../kernel.ts"
import { FLOAT32 } from "../scalar-type.ts"
import { alignedProduct, hasAlignedRows } from "./aligned-product.ts"
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

const [t, narrow, pad, any, ne, view, sin, arange, to, scaled] = [
  aten("t"),
  aten("narrow"),
  aten("constant_pad_nd"),
  aten("any"),
  aten("ne.Tensor"),
  aten("reshape"),
  aten("sin"),
  aten("arange"),
  aten("to.dtype"),
  aten("mul.Scalar")
]
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

/** Shapes that were found to be invariant, by the device. */
const known = new Set<string>()

/**
 * Multiplies other rows by a weight of this shape, in numbers from few to many, and compares. What is recorded was run before,
 * so its shapes are known.
 *
 * @throws BatchInvarianceUnavailable where a row's bits differ
 */
const compareOnce = (weight: Handle, scope: KernelScope): void => {
  const { backend } = scope
  const [outputs, inner] = shapeOf(weight, scope)
  const key = `${backend.device}/${typeOf(weight)}/${outputs}/${inner}`
  if (known.has(key) || backend.isRecording) return
  inScope(() => {
    const most = Math.max(1, Math.min(MOST_COMPARED, Math.floor(MOST_NUMBERS / Math.max(outputs, inner))))
    const matrix = outputs * inner > MOST_MADE ? weight : waves([outputs, inner], 0.37, typeOf(weight), scope)
    const rows = waves([most, inner], 0.71, typeOf(weight), scope)
    const all = alignedProduct(rows, matrix, scope)
    for (const count of COMPARED.filter((each) => each < most)) {
      const few = alignedProduct(narrow(rows, 0, 0, count), matrix, scope)
      const differs = any(ne(few, narrow(all, 0, 0, count)))
      if (backend.addon.toHost(differs, new Uint8Array(1))[0] !== 0)
        throw BatchInvarianceUnavailable.ofProduct(inner, outputs, [count, most], backend.addon.torchVersion)
    }
  })
  known.add(key)
}

/** Numbers from −1 to 1 that fill their mantissas. */
export const waves = (shape: [number, number], step: number, type: number, { backend }: KernelScope): Handle => {
  const count = shape[0] * shape[1]
  const places = arange(count, FLOAT32, undefined, backend.device)
  return view(to(sin(scaled(places, step)), type), shape)
}
