import type { Handle } from "../../addon.ts"
import { aten } from "../../aten.ts"
import type { KernelScope } from "../../kernel.ts"
import { sizeOf } from "../../kernel.ts"
import { FLOAT32, FLOAT64 } from "../../scalar-type.ts"
import { emptyOf, typeOf } from "../storage.ts"
import { cudaStorage, launch, packWidth, spread, spreadSums } from "./kernels.ts"

// Our CUDA kernels on handles that lie in memory order; T is the storage macro of their numbers.

const [sum, reshape] = [aten("sum.dim_IntList"), aten("reshape")]

const shapeOf = (x: Handle, scope: KernelScope) => scope.backend.addon.shape(x)

const emptyLike = (x: Handle, scope: KernelScope): Handle => emptyOf(shapeOf(x, scope), typeOf(x, scope), scope)

export const cudaGated = (gate: Handle, up: Handle, activation: string, T: string, scope: KernelScope): Handle => {
  const size = sizeOf(shapeOf(gate, scope))
  const W = packWidth(size)
  const out = emptyLike(gate, scope)
  const macros = { T, W, ACTIVATION: activation }
  launch("gated", { ...spread(size / W), macros, args: [gate, up, out, size / W] }, scope)
  return out
}

/** [dgate, dup] */
export const cudaGatedGradient = (
  [gate, up, dy]: readonly [Handle, Handle, Handle],
  activation: string,
  T: string,
  scope: KernelScope
): [Handle, Handle] => {
  const size = sizeOf(shapeOf(gate, scope))
  const W = packWidth(size)
  const results: [Handle, Handle] = [emptyLike(gate, scope), emptyLike(gate, scope)]
  const macros = { T, W, ACTIVATION: activation }
  const args = [gate, up, dy, ...results, size / W]
  launch("gatedGradient", { ...spread(size / W), macros, args }, scope)
  return results
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

export const cudaScaleRows = (x: Handle, factors: Handle, T: string, scope: KernelScope): Handle => {
  const [rows, width] = shapeOf(x, scope) as [number, number]
  const W = packWidth(width)
  const out = emptyLike(x, scope)
  const packs = (rows * width) / W
  const args = [x, factors, out, packs, width / W]
  launch("scaleRows", { ...spread(packs), macros: { T, W }, args }, scope)
  return out
}

/** Threads of a block that walks a row of `packs` packs. */
const threadsOf = (packs: number): number => Math.min(256, 32 * Math.ceil(packs / 32))

const rowsOf = (x: Handle, scope: KernelScope): readonly [number, number] => {
  const shape = shapeOf(x, scope)
  return [sizeOf(shape.slice(0, -1)), shape.at(-1)!]
}

export const cudaRmsNorm = (x: Handle, weight: Handle, epsilon: number, T: string, scope: KernelScope): Handle => {
  const [rows, width] = rowsOf(x, scope)
  const W = packWidth(width)
  const out = emptyLike(x, scope)
  const args = [x, weight, out, width, epsilon]
  launch("rmsNorm", { blocks: rows, threads: threadsOf(width / W), macros: { T, W }, args }, scope)
  return out
}

/** Packs of a row that one thread holds in registers. */
const MOST_PACKS = 8
const MOST_THREADS = 1024

/** Whether a block holds a row of this width. */
export const fitsRmsGradient = (width: number): boolean => width / packWidth(width) <= MOST_PACKS * MOST_THREADS

/** [dx in the storage of x, dweight float32] */
export const cudaRmsGradient = (
  [x, weight, dy]: readonly [Handle, Handle, Handle],
  epsilon: number,
  T: string,
  scope: KernelScope
): [Handle, Handle] => {
  const [rows, width] = rowsOf(x, scope)
  const W = packWidth(width)
  const packs = width / W
  const threads = packs <= MOST_PACKS * 256 ? threadsOf(packs) : MOST_THREADS
  const blocks = Math.min(rows, 4 * scope.backend.cuda!.multiprocessors)
  const dx = emptyLike(x, scope)
  const shares = emptyOf([blocks, width], FLOAT32, scope)
  const macros = { T, W, PACKS: Math.ceil(packs / threads) }
  const args = [x, weight, dy, dx, shares, rows, width, epsilon]
  launch("rmsNormGradient", { blocks, threads, macros, args }, scope)
  return [dx, reshape(sum(shares, [0]), [width])]
}

/** [2] float32: the norm of all tensors together, and what its rounding left. */
export const cudaNorm = (tensors: ReadonlyArray<Handle>, scope: KernelScope): Handle => {
  const parts = tensors.map((x) => {
    const size = sizeOf(shapeOf(x, scope))
    const W = packWidth(size)
    return { x, W, count: size / W, T: cudaStorage([x], scope)!, ...spreadSums(size / W, scope) }
  })
  const total = parts.reduce((sum, { blocks }) => sum + blocks, 0)
  const sums = emptyOf([total], FLOAT64, scope)
  const out = emptyOf([2], FLOAT32, scope)
  let first = 0
  for (const { T, W, blocks, count, threads, x } of parts) {
    launch("squares", { blocks, threads, macros: { T, W }, args: [x, sums, first, count] }, scope)
    first += blocks
  }
  launch("root", { blocks: 1, threads: 1024, macros: { T: "float", W: 1 }, args: [sums, out, total] }, scope)
  return out
}
