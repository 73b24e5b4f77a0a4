import type { Handle } from "../addon.ts"
import { aten } from "../aten.ts"
import type { KernelScope } from "../kernel.ts"
import { cudaStorage, launch } from "./cuda/kernels.ts"
import { shapeOf } from "./cuda/launches.ts"
import { emptyOf, isHostFloat, typeOf } from "./storage.ts"

const [mm, t] = [aten("mm"), aten("t")]

/** Rows whose product is no faster by tensor cores: the weight is read once either way. */
const FEW = 4
const WARPS = 4

/** x [N, I] times the transpose of a weight [O, I] of the same storage: [N, O]. */
export const product = (x: Handle, weight: Handle, scope: KernelScope): Handle => {
  const own = isHostFloat(x, scope) ? scope.backend.addon.rowProduct(x, weight) : null
  if (own !== null) return scope.temporary(own)
  const [rows, inner] = shapeOf(x, scope) as [number, number]
  return rows <= FEW && fitsFewRows(x, weight, inner, scope) ? fewRows(x, weight, scope) : mm(x, t(weight))
}

const fitsFewRows = (x: Handle, weight: Handle, inner: number, scope: KernelScope): boolean => {
  const { addon } = scope.backend
  return inner % 8 === 0 && cudaStorage([x, weight], scope) === "bf16" && addon.isDense(x) && addon.isDense(weight)
}

const fewRows = (x: Handle, weight: Handle, scope: KernelScope): Handle => {
  const [[rows], [outputs, inner]] = [shapeOf(x, scope), shapeOf(weight, scope)] as [[number], [number, number]]
  const out = emptyOf([rows, outputs], typeOf(x, scope), scope)
  if (rows === 0 || outputs === 0) return out
  // few outputs are spread over more warps, and long ones shared by several
  const each = outputs >= 8192 ? 2 : 1
  const split = inner >= 8192 ? 4 : 1
  const early = scope.backend.isRecording ? 1 : 0
  launch(
    "fewRows",
    {
      blocks: Math.ceil((outputs / each / WARPS) * split),
      threads: 32 * WARPS,
      macros: { T: "bf16", W: 8, M: rows, OUTPUTS: each, SPLIT: split, EARLY: early },
      args: [x, weight, out, outputs, inner / 8]
    },
    scope
  )
  return out
}
