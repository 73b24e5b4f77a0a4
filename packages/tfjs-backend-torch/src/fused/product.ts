import type { Handle } from "../addon.ts"
import { aten } from "../aten.ts"
import { FEW_TOKENS } from "../backend.ts"
import type { KernelScope } from "../kernel.ts"
import { FLOAT32 } from "../scalar-type.ts"
import { alignedProduct, alignedRows } from "./aligned-product.ts"
import { cudaStorage, launch } from "./cuda/kernels.ts"
import { shapeOf } from "./cuda/launches.ts"
import { isMadeApart, matrixProduct, matrixProductInto } from "./matrix-product.ts"
import { invariantProduct, invariantProductInto } from "./product-invariant.ts"
import { emptyOf } from "./storage.ts"
import { isDense, typeOf } from "../handle-facts.ts"

const [t, contiguous, narrow] = [aten("t"), aten("contiguous"), aten("narrow")]

/** Outputs from which on rows that are not aligned are worth a copy. */
const MANY_OUTPUTS = 1024
const WARPS = 4

/** x [N, I] times the transpose of a weight [O, I] of the same storage: [N, O]. */
export const product = (x: Handle, weight: Handle, scope: KernelScope): Handle => {
  const own = scope.backend.cuda === undefined ? scope.backend.addon.rowProduct(x, weight) : null
  if (own !== null) return scope.temporary(own)
  if (isInvariant(x, scope)) return invariantProduct(x, weight, scope)
  const [rows, inner] = shapeOf(x, scope) as [number, number]
  if (rows <= FEW_TOKENS && fitsFewRows(x, weight, inner, scope)) return fewRows(x, weight, scope)
  return fitsAligned(x, weight, scope)
    ? contiguous(alignedProduct(x, weight, scope))
    : matrixProduct(x, t(weight), scope)
}

/** Where tensor cores multiply, and the copy that follows is little beside the product. */
const fitsAligned = (x: Handle, weight: Handle, scope: KernelScope): boolean =>
  cudaStorage([x, weight], scope) === "bf16" && shapeOf(weight, scope)[0]! >= MANY_OUTPUTS

/** Memory for so many rows of such products; undefined where they are made in tensors of their own. */
export const roomFor = (rows: number, x: Handle, weight: Handle, scope: KernelScope): Handle | undefined =>
  isMadeApart(x, t(weight), scope) ? undefined : alignedRows(rows, shapeOf(weight, scope)[0]!, typeOf(x), scope)

/** The same in the first rows of `room`, where there is one. */
export const productIn = (room: Handle | undefined, x: Handle, weight: Handle, scope: KernelScope): Handle => {
  if (room === undefined) return product(x, weight, scope)
  const out = narrow(room, 0, 0, shapeOf(x, scope)[0]!)
  if (isInvariant(x, scope)) invariantProductInto(x, weight, out, scope)
  else matrixProductInto(x, t(weight), out, scope)
  return out
}

const isInvariant = (x: Handle, scope: KernelScope): boolean => scope.backend.isBatchInvariant && typeOf(x) !== FLOAT32

const fitsFewRows = (x: Handle, weight: Handle, inner: number, scope: KernelScope): boolean => {
  return inner % 8 === 0 && cudaStorage([x, weight], scope) === "bf16" && isDense(x) && isDense(weight)
}

const fewRows = (x: Handle, weight: Handle, scope: KernelScope): Handle => {
  const outputs = shapeOf(weight, scope)[0]!
  return launchFewRows(x, [weight], outputs, { OUTPUTS: outputs >= 8192 ? 2 : 1, GATED: 0 }, scope)
}

/** act(x·gateᵀ)·(x·upᵀ) of a few rows: what `product` and the activation make of them, to the bit. */
export const gatedFewRows = (
  x: Handle,
  [gate, up]: readonly [Handle, Handle],
  activation: string,
  scope: KernelScope
): Handle => {
  const macros = { OUTPUTS: 2, GATED: 1, ACTIVATION: activation } as const
  return launchFewRows(x, [gate, up], shapeOf(gate, scope)[0]!, macros, scope)
}

const launchFewRows = (
  x: Handle,
  [weight, up = null]: readonly [Handle, (Handle | null)?],
  outputs: number,
  macros: { readonly OUTPUTS: number; readonly GATED: 0 | 1; readonly ACTIVATION?: string },
  scope: KernelScope
): Handle => {
  const [rows, inner] = shapeOf(x, scope) as [number, number]
  const out = emptyOf([rows, outputs], typeOf(x), scope)
  if (rows === 0 || outputs === 0) return out
  // few outputs are spread over more warps, and long ones shared by several
  const each = macros.GATED === 1 ? 1 : macros.OUTPUTS
  const split = inner >= 8192 ? 4 : 1
  const early = scope.backend.isRecording ? 1 : 0
  launch(
    "fewRows",
    {
      blocks: Math.ceil((outputs / each / WARPS) * split),
      threads: 32 * WARPS,
      macros: { T: "bf16", W: 8, M: rows, SPLIT: split, EARLY: early, ...macros },
      args: [x, weight, up, out, outputs, inner / 8]
    },
    scope
  )
  return out
}
