import type { Handle } from "../../addon.ts"
import { aten } from "../../aten.ts"
import { type KernelScope, sizeOf } from "../../kernel.ts"
import { FLOAT32, INT32 } from "../../scalar-type.ts"
import type { RowSums } from "../row-sums.ts"
import { emptyOf, zerosOf } from "../storage.ts"
import { launch, type Macros, packWidth, spread } from "./kernels.ts"
import { emptyLike, shapeOf } from "./launches.ts"
import { typeOf } from "../../handle-facts.ts"

const narrow = aten("narrow")

/** The rows of x [N, D] added up, [rows, D] in the storage of x. */
export const cudaRowSums = (x: Handle, sums: RowSums, rows: number, T: string, scope: KernelScope): Handle => {
  const out = zerosOf([rows, shapeOf(x, scope)[1]!], typeOf(x), scope)
  addRowSums(x, sums, out, 0, T, scope)
  return out
}

/** out [rows, D], which lies in memory order, += the rows of x [N, D] of the same storage added up. */
export const cudaAddRowSums = (x: Handle, sums: RowSums, out: Handle, T: string, scope: KernelScope): void =>
  addRowSums(x, sums, out, 1, T, scope)

/** @param ADD whether the numbers of `out` so far count; else the rows that are no sums stay as they are, too */
const addRowSums = (x: Handle, sums: RowSums, out: Handle, ADD: 0 | 1, T: string, scope: KernelScope): void => {
  const width = shapeOf(x, scope)[1]!
  if (width === 0) return
  const [order, whole, parts, ofParts] = uploaded([sums.order, sums.whole, sums.parts, sums.ofParts], scope)
  addRows({ x, order, list: whole, out, macros: { T, O: T, ADD } }, width, scope)
  if (sums.parts.length === 0) return
  const partSums = emptyOf([sums.parts.length / 3, width], FLOAT32, scope)
  addRows({ x, order, list: parts, out: partSums, macros: { T, O: "float", ADD: 0 } }, width, scope)
  addRows({ x: partSums, order: undefined, list: ofParts, out, macros: { T: "float", O: T, ADD } }, width, scope)
}

/** A list on the device, and how many numbers it has. */
interface List {
  readonly handle: Handle
  readonly length: number
}

/** Parts of one upload: each costs the host as much as several launches. */
const uploaded = <const L extends ReadonlyArray<Int32Array>>(lists: L, scope: KernelScope) => {
  const all = new Int32Array(lists.reduce((sum, { length }) => sum + length, 0))
  let first = 0
  const places = lists.map((list) => {
    all.set(list, first)
    first += list.length
    return { first: first - list.length, length: list.length }
  })
  const handle = scope.upload(all, [all.length], INT32)
  return places.map((place) => ({
    handle: narrow(handle, 0, place.first, place.length),
    length: place.length
  })) as { readonly [K in keyof L]: List }
}

interface Addition {
  readonly x: Handle
  readonly order: List | undefined
  /** Triples, see `RowSumList`. */
  readonly list: List
  readonly out: Handle
  /** T and O: the storage of x and out. */
  readonly macros: Macros
}

const addRows = ({ list, macros, order, out, x }: Addition, width: number, scope: KernelScope): void => {
  if (list.length === 0) return
  const W = packWidth(width)
  const threads = Math.min(256, 32 * Math.ceil(width / W / 32))
  const args = [x, order?.handle ?? null, list.handle, out, width / W]
  launch("rowSums", { blocks: list.length / 3, threads, macros: { ...macros, W }, args }, scope)
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
