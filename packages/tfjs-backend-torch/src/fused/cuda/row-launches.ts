import type { Handle } from "../../addon.ts"
import type { KernelScope } from "../../kernel.ts"
import { FLOAT32, INT32 } from "../../scalar-type.ts"
import type { RowSum, RowSums } from "../row-sums.ts"
import { emptyOf, typeOf, zerosOf } from "../storage.ts"
import { launch, packWidth } from "./kernels.ts"

/** The rows of x [N, D] added up, [rows, D] in the storage of x. */
export const cudaRowSums = (x: Handle, sums: RowSums, rows: number, T: string, scope: KernelScope): Handle => {
  const width = scope.backend.addon.shape(x)[1]!
  const out = zerosOf([rows, width], typeOf(x, scope), scope)
  if (width === 0) return out
  const order = scope.upload(sums.order, [sums.order.length], INT32)
  addRows({ x, T, order, list: sums.whole, out, O: T }, width, scope)
  if (sums.parts.length === 0) return out
  const parts = emptyOf([sums.parts.length, width], FLOAT32, scope)
  addRows({ x, T, order, list: sums.parts, out: parts, O: "float" }, width, scope)
  addRows({ x: parts, T: "float", order: null, list: sums.ofParts, out, O: T }, width, scope)
  return out
}

interface Addition {
  readonly x: Handle
  readonly T: string
  readonly order: Handle | null
  readonly list: ReadonlyArray<RowSum>
  readonly out: Handle
  readonly O: string
}

const addRows = ({ O, T, list, order, out, x }: Addition, width: number, scope: KernelScope): void => {
  if (list.length === 0) return
  const W = packWidth(width)
  const triples = scope.upload(Int32Array.from(list.flat()), [list.length, 3], INT32)
  const threads = Math.min(256, 32 * Math.ceil(width / W / 32))
  launch(
    "rowSums",
    { blocks: list.length, threads, macros: { T, O, W }, args: [x, order, triples, out, width / W] },
    scope
  )
}
