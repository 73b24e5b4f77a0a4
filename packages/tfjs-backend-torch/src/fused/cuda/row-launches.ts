import type { Handle } from "../../addon.ts"
import { type KernelScope, sizeOf } from "../../kernel.ts"
import { FLOAT32, INT32 } from "../../scalar-type.ts"
import type { RowSumList, RowSums } from "../row-sums.ts"
import { emptyOf, zerosOf } from "../storage.ts"
import { launch, packWidth, spread } from "./kernels.ts"
import { emptyLike, shapeOf } from "./launches.ts"
import { typeOf } from "../../handle-facts.ts"

/** The rows of x [N, D] added up, [rows, D] in the storage of x. */
export const cudaRowSums = (x: Handle, sums: RowSums, rows: number, T: string, scope: KernelScope): Handle => {
  const width = shapeOf(x, scope)[1]!
  const out = zerosOf([rows, width], typeOf(x), scope)
  if (width === 0) return out
  const order = scope.upload(sums.order, [sums.order.length], INT32)
  addRows({ x, T, order, list: sums.whole, out, O: T }, width, scope)
  if (sums.parts.length === 0) return out
  const parts = emptyOf([sums.parts.length / 3, width], FLOAT32, scope)
  addRows({ x, T, order, list: sums.parts, out: parts, O: "float" }, width, scope)
  addRows({ x: parts, T: "float", order: null, list: sums.ofParts, out, O: T }, width, scope)
  return out
}

interface Addition {
  readonly x: Handle
  readonly T: string
  readonly order: Handle | null
  readonly list: RowSumList
  readonly out: Handle
  readonly O: string
}

const addRows = ({ O, T, list, order, out, x }: Addition, width: number, scope: KernelScope): void => {
  if (list.length === 0) return
  const W = packWidth(width)
  const count = list.length / 3
  const triples = scope.upload(list, [count, 3], INT32)
  const threads = Math.min(256, 32 * Math.ceil(width / W / 32))
  launch("rowSums", { blocks: count, threads, macros: { T, O, W }, args: [x, order, triples, out, width / W] }, scope)
}

/** Row i of x [N, D] times factor i [N] float32. */
export const cudaScaleRows = (x: Handle, factors: Handle, T: string, scope: KernelScope): Handle => {
  const [rows, width] = shapeOf(x, scope) as [number, number]
  const W = packWidth(width)
  const out = emptyLike(x, scope)
  const packs = (rows * width) / W
  const args = [x, factors, out, packs, width / W]
  launch("scaleRows", { ...spread(packs), macros: { T, W }, args }, scope)
  return out
}

/** x, which lies in memory order, times factor [1] float32, in place. */
export const cudaScale = (x: Handle, factor: Handle, T: string, scope: KernelScope): void => {
  const size = sizeOf(shapeOf(x, scope))
  const W = packWidth(size)
  launch("scaleRows", { ...spread(size / W), macros: { T, W }, args: [x, factor, x, size / W, size / W] }, scope)
}
