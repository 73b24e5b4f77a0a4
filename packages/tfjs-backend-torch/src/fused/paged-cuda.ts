import type { Handle } from "../addon.ts"
import { BatchInvarianceUnavailable } from "../batch-invariance.ts"
import type { KernelScope } from "../kernel.ts"
import { FLOAT32, INT32 } from "../scalar-type.ts"
import { cudaStorage, launch } from "./cuda/kernels.ts"
import { emptyOf } from "./storage.ts"

// Attention over the pages of a cache on CUDA by kernels of our own.

interface Shape {
  /** Queries of one key head. */
  readonly group: number
  readonly keyHeads: number
  /** Numbers of a head. */
  readonly width: number
}

/** Handles and numbers of a call; tables and spans as PagedRows has them, on the device. */
export interface PagedCall {
  readonly q: Handle
  readonly keys: Handle
  readonly values: Handle
  readonly table: Handle
  readonly spans: Handle
  readonly rows: number
  /** Pages of a row of the table. */
  readonly tableWidth: number
  /** Tokens of a page; 0 where a row's keys, `tableWidth` at most, lie end to end from slot table[row] on. */
  readonly pageSize: number
  readonly scale: number
  readonly window: number | undefined
  readonly softCap: number | undefined
}

const THREADS = 128

/** How PAGED_HALF takes heads: the warps of a block, and the products of 8 query heads that each has at a time at most. */
const HALF_SHAPES: Readonly<Record<number, { readonly warps: number; readonly tiles: number }>> = {
  16: { warps: 4, tiles: 4 },
  32: { warps: 4, tiles: 4 },
  64: { warps: 4, tiles: 4 },
  128: { warps: 2, tiles: 2 },
  256: { warps: 1, tiles: 1 }
}

/** Widths at which tensor cores are quicker than our other kernel for rows of one query. */
const QUICK_WIDTHS = [64, 128]

/** Keys of one block, at most and at least; a row with more is split, and its parts are merged. */
const [MOST_KEYS, LEAST_KEYS] = [512, 64]
/** The same where it may not depend on what else is computed. */
const INVARIANT_KEYS = 2048
/** Query heads of one key head that a block holds in registers. */
const MOST_GROUP = 8

const shapeOf = ({ keys, q }: Pick<PagedCall, "q" | "keys">, { backend }: KernelScope): Shape => {
  const [, heads, width] = backend.addon.shape(q) as [number, number, number]
  const keyHeads = backend.addon.shape(keys)[1]!
  return { group: heads / keyHeads, keyHeads, width }
}

/** Whether the kernel takes these heads: a group of threads, 2ⁿ of a warp, holds a key. */
export const fitsPagedDecode = (call: Pick<PagedCall, "q" | "keys" | "values">, scope: KernelScope): boolean => {
  const { group, width } = shapeOf(call, scope)
  return (
    cudaStorage([call.q, call.keys, call.values], scope) !== undefined &&
    group <= MOST_GROUP &&
    [8, 16, 32, 64, 128, 256].includes(width)
  )
}

/** Whether tensor cores take the heads, and any number of queries a row; see PAGED_HALF. */
export const fitsPagedHalf = (call: Pick<PagedCall, "q" | "keys" | "values">, scope: KernelScope): boolean => {
  const { group, width } = shapeOf(call, scope)
  return (
    cudaStorage([call.q, call.keys, call.values], scope) === "bf16" &&
    scope.backend.cuda!.capability >= 80 &&
    group <= MOST_GROUP &&
    width in HALF_SHAPES
  )
}

/** @throws BatchInvarianceUnavailable where that is asked for and the kernel does not take such heads */
export const checkInvariant = (call: Pick<PagedCall, "q" | "keys" | "values">, scope: KernelScope): void => {
  if (scope.backend.isBatchInvariant && !fitsPagedHalf(call, scope))
    throw BatchInvarianceUnavailable.ofHeads(scope.backend.addon.shape(call.q))
}

/** Keys that a group of threads reads at a time: as many as registers hold beside the queries and the sums. */
const aheadOf = (T: string, group: number): number => (T === "float" ? 1 : group > 4 ? 2 : 4)

/** Few rows are split into as many blocks as the device runs at a time. */
const keysOfBlock = (keys: number, blocks: number, { backend }: KernelScope): number => {
  if (backend.isBatchInvariant) return INVARIANT_KEYS
  const wanted = Math.ceil((2 * backend.cuda!.multiprocessors) / blocks)
  const share = Math.ceil(keys / wanted / LEAST_KEYS) * LEAST_KEYS
  return Math.min(MOST_KEYS, Math.max(LEAST_KEYS, share))
}

/** Fills the rows of `out` that have one query; the others stay as they are. */
export const pagedDecode = (call: PagedCall, out: Handle, scope: KernelScope): void => {
  const { group, keyHeads, width } = shapeOf(call, scope)
  const blocks = call.rows * keyHeads
  const splitLength = keysOfBlock(mostKeys(call), blocks, scope)
  const isQuick = QUICK_WIDTHS.includes(width) || scope.backend.isBatchInvariant
  if (isQuick && fitsPagedHalf(call, scope)) return pagedHalf(call, { splitLength, tiles: 1, out }, scope)
  const { keys, pageSize, q, rows, scale, softCap = 0, spans, table, tableWidth, values, window = 0 } = call
  const splits = splitsOf(mostKeys(call), splitLength)
  const T = cudaStorage([q], scope)!
  const macros = { T, W: 8, D: width, G: group, PAGE: pageSize }
  const parts = splits === 1 ? null : emptyOf([blocks * splits, group, width + 2], FLOAT32, scope)
  const numbers = [rows, tableWidth, keyHeads, splits, splitLength, window, scale, softCap]
  const args = [q, keys, values, table, spans, out, parts, ...numbers]
  const ahead = { ...macros, AHEAD: aheadOf(T, group) }
  launch("pagedDecode", { blocks: blocks * splits, threads: THREADS, macros: ahead, args }, scope)
  if (parts === null) return
  const merged = [parts, spans, null, out, null, rows, keyHeads, splits, group, 0]
  launch("pagedMerge", { blocks, threads: THREADS, macros, args: merged }, scope)
}

const mostKeys = ({ pageSize, tableWidth }: PagedCall): number => tableWidth * Math.max(1, pageSize)

const splitsOf = (keys: number, splitLength: number): number => Math.max(1, Math.ceil(keys / splitLength))

interface HalfWork {
  readonly splitLength: number
  readonly tiles: number
  readonly out: Handle
  /** Rows and first queries of tiles, [count, 2] int32; without it a block takes a row. */
  readonly places?: { readonly handle: Handle; readonly count: number } | undefined
  /** [H, N] float32, to be filled */
  readonly normalizers?: Handle | undefined
}

const pagedHalf = (call: PagedCall, work: HalfWork, scope: KernelScope): void => {
  const { keys, pageSize, q, rows, scale, softCap = 0, spans, table, tableWidth, values, window = 0 } = call
  const { normalizers = null, out, places, splitLength, tiles } = work
  const { group, keyHeads, width } = shapeOf(call, scope)
  const blocks = (places?.count ?? rows) * keyHeads
  const splits = splitsOf(mostKeys(call), splitLength)
  const { warps } = HALF_SHAPES[width]!
  const macros = { T: "bf16", W: 8, D: width, G: group, PAGE: pageSize }
  const parts = splits === 1 ? null : emptyOf([blocks * splits, 8 * tiles, width + 2], FLOAT32, scope)
  const tokens = scope.backend.addon.shape(q)[0]!
  const where = [spans, places?.handle ?? null]
  const numbers = [rows, tableWidth, keyHeads, splits, splitLength, window, tokens, scale, softCap]
  const args = [q, keys, values, table, ...where, out, parts, normalizers, ...numbers]
  const own = { ...macros, TILES: tiles, WARPS: warps }
  launch("pagedHalf", { blocks: blocks * splits, threads: 32 * warps, macros: own, args }, scope)
  if (parts === null) return
  const merged = [parts, ...where, out, normalizers, rows, keyHeads, splits, 8 * tiles, tokens]
  launch("pagedMerge", { blocks, threads: THREADS, macros, args: merged }, scope)
}

/**
 * Fills the rows of `out` that have at least `least` queries, and their log-normalizers: a token's result has the same bits
 * as if it were computed alone, by `pagedDecode` where that is batch-invariant.
 *
 * @param counts [R] queries of each row
 * @param normalizers [H, N] float32
 */
export const pagedTiles = (
  call: PagedCall,
  counts: Int32Array,
  least: number,
  { normalizers, out }: Pick<HalfWork, "out" | "normalizers">,
  scope: KernelScope
): void => {
  const { group, width } = shapeOf(call, scope)
  const { tiles } = HALF_SHAPES[width]!
  const tokens = Math.floor((8 * tiles) / group)
  const found: Array<number> = []
  counts.forEach((count, row) => {
    if (count < least) return
    for (let first = 0; first < count; first += tokens) found.push(row, first)
  })
  const count = found.length / 2
  if (count === 0) return
  const handle = scope.upload(Int32Array.from(found), [count, 2], INT32)
  pagedHalf(call, { splitLength: INVARIANT_KEYS, tiles, out, places: { handle, count }, normalizers }, scope)
}
