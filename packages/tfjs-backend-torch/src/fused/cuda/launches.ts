import type { Handle } from "../../addon.ts"
import { aten } from "../../aten.ts"
import type { KernelScope } from "../../kernel.ts"
import { sizeOf } from "../../kernel.ts"
import { FLOAT32, FLOAT64 } from "../../scalar-type.ts"
import { emptyOf } from "../storage.ts"
import { cudaStorage, launch, packWidth, prepareEach, spread } from "./kernels.ts"
import { typeOf } from "../../handle-facts.ts"

// Our CUDA kernels on handles that lie in memory order; T is the storage macro of their numbers.

const narrow = aten("narrow")

export const shapeOf = (x: Handle, scope: KernelScope) => scope.backend.addon.shape(x)

export const emptyLike = (x: Handle, scope: KernelScope): Handle => emptyOf(shapeOf(x, scope), typeOf(x), scope)

const rowStep = (x: Handle, { backend }: KernelScope): number => backend.addon.strides(x)[0]!

/** The pack width that rows of `width` numbers allow, where they begin every so many numbers. */
const stridedWidth = (width: number, handles: ReadonlyArray<Handle>, scope: KernelScope): 1 | 8 =>
  packWidth(width, ...handles.map((x) => rowStep(x, scope)))

/** gate and up [N, F], their rows at any distance. */
export const cudaGated = (gate: Handle, up: Handle, activation: string, T: string, scope: KernelScope): Handle => {
  const [rows, width] = shapeOf(gate, scope) as [number, number]
  const W = stridedWidth(width, [gate, up], scope)
  const packs = width / W
  const out = emptyOf([rows, width], typeOf(gate), scope)
  const macros = { T, W, ACTIVATION: activation }
  const args = [gate, up, out, rows * packs, packs, rowStep(gate, scope), rowStep(up, scope)]
  launch("gated", { ...spread(rows * packs), macros, args }, scope)
  return out
}

/** [dgate, dup]: columns of one matrix; dy lies in memory order. */
export const cudaGatedGradient = (
  [gate, up, dy]: readonly [Handle, Handle, Handle],
  activation: string,
  T: string,
  scope: KernelScope
): [Handle, Handle] => {
  const [rows, width] = shapeOf(gate, scope) as [number, number]
  const W = stridedWidth(width, [gate, up], scope)
  const packs = width / W
  const both = emptyOf([rows, 2 * width], typeOf(gate), scope)
  const macros = { T, W, ACTIVATION: activation }
  const args = [gate, up, dy, both, rows * packs, packs, rowStep(gate, scope), rowStep(up, scope)]
  launch("gatedGradient", { ...spread(rows * packs), macros, args }, scope)
  return [narrow(both, 1, 0, width), narrow(both, 1, width, width)]
}

/** x [N, H, d] rotated by cosine and `sign` · sine, [N, R/2] float32. */
export const cudaRotary = (
  [x, cos, sin]: readonly [Handle, Handle, Handle],
  sign: number,
  T: string,
  scope: KernelScope
): Handle => {
  const [tokens, heads, width] = shapeOf(x, scope) as [number, number, number]
  const half = shapeOf(cos, scope)[1]!
  const W = packWidth(width, half)
  const count = (tokens * heads * (width - half)) / W
  const out = emptyLike(x, scope)
  const args = [x, cos, sin, out, count, heads, width, half, sign]
  launch("rotate", { ...spread(count), macros: { T, W }, args }, scope)
  return out
}

/** Heads of a token that one thread turns, by angles it reads once. */
const TURNED_HEADS = 4

interface HeadShapes {
  readonly heads: number
  readonly keyHeads: number
  readonly width: number
}

/**
 * q, k and v as matrices [N, heads · width], their rows at any distance. Forward: q and k rotated. Inverse: all three, v
 * as it is, as columns of one matrix.
 */
export const cudaRotaryHeads = (
  [q, k, v]: readonly [Handle, Handle, Handle],
  [cos, sin]: readonly [Handle, Handle],
  { heads, keyHeads, width }: HeadShapes,
  inverse: boolean,
  T: string,
  scope: KernelScope
): [Handle, Handle, Handle | undefined] => {
  const tokens = shapeOf(q, scope)[0]!
  const half = shapeOf(cos, scope)[1]!
  const W = Math.min(stridedWidth(width, [q, k, v], scope), packWidth(half))
  const [queries, keys] = [heads * width, keyHeads * width]
  const parts = inverse
    ? columns([queries, keys, keys], q, scope)
    : [queries, keys].map((size) => columns([size], q, scope)[0]!)
  const [outQ, outK, outV = outK] = parts as [Handle, Handle, Handle?]
  const values = inverse ? keyHeads : 0
  const count = (tokens * Math.ceil((heads + keyHeads + values) / TURNED_HEADS) * (width - half)) / W
  const steps = [q, k, v, outQ, outK, outV].map((x) => rowStep(x, scope))
  const numbers = [count, heads, keyHeads, values, width, half, inverse ? -1 : 1, ...steps]
  launch(
    "rotateHeads",
    { ...spread(count), macros: { T, W, EACH: TURNED_HEADS }, args: [q, k, v, cos, sin, outQ, outK, outV, ...numbers] },
    scope
  )
  return [outQ, outK, inverse ? outV : undefined]
}

/** Columns of one new matrix that has as many rows as `like`. */
const columns = (widths: ReadonlyArray<number>, like: Handle, scope: KernelScope): ReadonlyArray<Handle> => {
  const all = emptyOf([shapeOf(like, scope)[0]!, widths.reduce((sum, width) => sum + width, 0)], typeOf(like), scope)
  let first = 0
  return widths.map((width) => {
    const part = narrow(all, 1, first, width)
    first += width
    return part
  })
}

/** Threads of a block that walks a row of `packs` packs. */
const threadsOf = (packs: number): number => Math.min(256, 32 * Math.ceil(packs / 32))

const rowsOf = (x: Handle, scope: KernelScope): readonly [number, number] => {
  const shape = shapeOf(x, scope)
  return [sizeOf(shape.slice(0, -1)), shape.at(-1)!]
}

/** The norm of x, and with an addend that of their sum, which comes second. */
export const cudaRmsNorm = (
  [x, addend]: readonly [Handle, Handle?],
  weight: Handle,
  epsilon: number,
  T: string,
  scope: KernelScope
): [normed: Handle, sum: Handle | undefined] => {
  const [rows, width] = rowsOf(x, scope)
  const W = packWidth(width)
  const out = emptyLike(x, scope)
  const total = addend === undefined ? undefined : emptyLike(x, scope)
  const args = [x, addend ?? null, weight, total ?? null, out, width, epsilon]
  launch("rmsNorm", { blocks: rows, threads: threadsOf(width / W), macros: { T, W }, args }, scope)
  return [out, total]
}

/** Packs of a row that one thread holds in registers. */
const MOST_PACKS = 8
const MOST_THREADS = 1024

/** Whether a block holds a row of this width. */
export const fitsRmsGradient = (width: number): boolean => width / packWidth(width) <= MOST_PACKS * MOST_THREADS

interface RmsGradient {
  readonly x: Handle
  readonly weight: Handle
  readonly dy: Handle
  /** Added to dx. */
  readonly past: Handle | undefined
  readonly withWeight: boolean
}

/** [dx in the storage of x, dweight float32 where it is wanted] */
export const cudaRmsGradient = (
  { dy, past, weight, withWeight, x }: RmsGradient,
  epsilon: number,
  T: string,
  scope: KernelScope
): [Handle, Handle | undefined] => {
  const [rows, width] = rowsOf(x, scope)
  const W = packWidth(width)
  const packs = width / W
  const threads = Math.min(MOST_THREADS, 32 * Math.ceil(packs / 32))
  const blocks = Math.min(rows, Math.floor(MOST_THREADS / threads) * scope.backend.cuda!.multiprocessors)
  const dx = emptyLike(x, scope)
  const shares = withWeight ? emptyOf([blocks, width], FLOAT32, scope) : undefined
  const macros = { T, W, THREADS: threads, PACKS: Math.ceil(packs / threads), WITH_WEIGHT: withWeight ? 1 : 0 }
  const args = [x, weight, dy, past ?? null, dx, shares ?? null, rows, width, epsilon]
  launch("rmsNormGradient", { blocks, threads, macros, args }, scope)
  return [dx, shares === undefined ? undefined : columnSums(shares, scope)]
}

/** x [rows, width] float32 → [width] */
const columnSums = (x: Handle, scope: KernelScope): Handle => {
  const [rows, width] = shapeOf(x, scope) as [number, number]
  const out = emptyOf([width], FLOAT32, scope)
  const macros = { T: "float", W: 1 }
  launch("columnSums", { blocks: Math.ceil(width / 32), threads: 1024, macros, args: [x, out, rows, width] }, scope)
  return out
}

const SUM_THREADS = 256

/** [2] float32: the norm of all tensors of these shapes together, and what its rounding left. */
export const cudaNorm = (
  tensors: ReadonlyArray<Handle>,
  shapes: ReadonlyArray<ReadonlyArray<number>>,
  scope: KernelScope
): Handle => {
  // each block leaves a number, so there are no more of them than are at work at one time
  const most = 8 * scope.backend.cuda!.multiprocessors
  const items = tensors.map((x, i) => {
    const size = sizeOf(shapes[i]!)
    // a part of what lies side by side begins with a row
    const W = packWidth(shapes[i]!.at(-1) ?? 1)
    const blocks = Math.min(Math.ceil(size / W / SUM_THREADS), most)
    return { macros: { T: cudaStorage([x], scope)!, W }, blocks, members: [x, size / W] }
  })
  const total = items.reduce((sum, { blocks }) => sum + blocks, 0)
  const sums = emptyOf([total], FLOAT64, scope)
  const out = emptyOf([2], FLOAT32, scope)
  prepareEach("squares", SUM_THREADS, items, scope)((before) => [sums, before])
  launch("root", { blocks: 1, threads: 1024, macros: { T: "float", W: 1 }, args: [sums, out, total] }, scope)
  return out
}
