import type { Handle } from "../addon.ts"
import { BatchInvarianceUnavailable } from "../batch-invariance.ts"
import type { KernelScope } from "../kernel.ts"
import { FLOAT32, INT32 } from "../scalar-type.ts"
import { cudaStorage, launch, type Macros } from "./cuda/kernels.ts"
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

/** Threads that hold a key, 8 numbers each: 2ⁿ of a warp. */
const lanesOf = (width: number): number => 2 ** Math.ceil(Math.log2(width / 8))

/** Whether the kernel takes these heads. */
export const fitsPagedDecode = (call: Pick<PagedCall, "q" | "keys" | "values">, scope: KernelScope): boolean => {
  const { group, width } = shapeOf(call, scope)
  return (
    cudaStorage([call.q, call.keys, call.values], scope) !== undefined &&
    group <= MOST_GROUP &&
    width % 8 === 0 &&
    lanesOf(width) <= 32
  )
}

/** Whether tensor cores take the heads, and any number of queries a row; see PAGED_HALF. */
const fitsPagedHalf = (call: Pick<PagedCall, "q" | "keys" | "values">, scope: KernelScope): boolean => {
  const { group, width } = shapeOf(call, scope)
  return (
    cudaStorage([call.q, call.keys, call.values], scope) === "bf16" &&
    scope.backend.cuda!.capability >= 80 &&
    group <= MOST_GROUP &&
    width in HALF_SHAPES
  )
}

const checkInvariant = (call: Pick<PagedCall, "q" | "keys" | "values">, scope: KernelScope): void => {
  if (scope.backend.isBatchInvariant && !fitsPagedHalf(call, scope))
    throw BatchInvarianceUnavailable.ofHeads(scope.backend.addon.shape(call.q), Object.keys(HALF_SHAPES), MOST_GROUP)
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

/** Where results go, and which tokens a block has. */
interface Work {
  readonly out: Handle
  /** [H, N] float32, to be filled */
  readonly normalizers?: Handle | undefined
  /** Rows and first queries of tiles, [count, 2] int32; without it a block takes a row. */
  readonly places?: { readonly handle: Handle; readonly count: number } | undefined
  /** Query heads of a block at most. */
  readonly queries: number
  readonly splitLength: number
}

/** What a kernel that attends is launched with. */
interface Attending {
  readonly blocks: number
  readonly macros: Macros
  readonly parts: Handle | null
  /** From the number of rows to the window. */
  readonly numbers: ReadonlyArray<number>
}

/** Has `attend` fill `out` or, where keys are split, its parts, which are then merged. */
const inParts = (call: PagedCall, work: Work, scope: KernelScope, attend: (launched: Attending) => void): void => {
  const { pageSize, q, rows, spans, tableWidth, window = 0 } = call
  const { normalizers = null, out, places, queries, splitLength } = work
  const { group, keyHeads, width } = shapeOf(call, scope)
  const units = (places?.count ?? rows) * keyHeads
  const splits = Math.max(1, Math.ceil(mostKeys(call) / splitLength))
  const macros = { T: cudaStorage([q], scope)!, W: 8, D: width, G: group, PAGE: pageSize }
  const parts = splits === 1 ? null : emptyOf([units * splits, queries, width + 2], FLOAT32, scope)
  const numbers = [rows, tableWidth, keyHeads, splits, splitLength, window]
  attend({ blocks: units * splits, macros, parts, numbers })
  if (parts === null) return
  const tokens = scope.backend.addon.shape(q)[0]!
  const args = [parts, spans, places?.handle ?? null, out, normalizers, rows, keyHeads, splits, queries, tokens]
  launch("pagedMerge", { blocks: units, threads: THREADS, macros, args }, scope)
}

const mostKeys = ({ pageSize, tableWidth }: PagedCall): number => tableWidth * Math.max(1, pageSize)

/**
 * Fills the rows of `out` that have one query; the others stay as they are.
 *
 * @throws BatchInvarianceUnavailable where that is asked for and the kernel does not take such heads
 */
export const pagedDecode = (call: PagedCall, out: Handle, scope: KernelScope): void => {
  checkInvariant(call, scope)
  const { group, keyHeads, width } = shapeOf(call, scope)
  const splitLength = keysOfBlock(mostKeys(call), call.rows * keyHeads, scope)
  const isQuick = QUICK_WIDTHS.includes(width) || scope.backend.isBatchInvariant
  if (isQuick && fitsPagedHalf(call, scope)) return pagedHalf(call, 1, { splitLength, out }, scope)
  const { keys, q, scale, softCap = 0, spans, table, values } = call
  inParts(call, { out, queries: group, splitLength }, scope, ({ blocks, macros, numbers, parts }) => {
    const args = [q, keys, values, table, spans, out, parts, ...numbers, scale, softCap]
    const ahead = { ...macros, AHEAD: aheadOf(macros["T"] as string, group), LANES: lanesOf(width) }
    launch("pagedDecode", { blocks, threads: THREADS, macros: ahead, args }, scope)
  })
}

/** @param tiles products of 8 query heads that a warp has at a time */
const pagedHalf = (call: PagedCall, tiles: number, work: Omit<Work, "queries">, scope: KernelScope): void => {
  const { keys, q, scale, softCap = 0, spans, table, values } = call
  const { normalizers = null, out, places } = work
  const { warps } = HALF_SHAPES[shapeOf(call, scope).width]!
  const tokens = scope.backend.addon.shape(q)[0]!
  inParts(call, { ...work, queries: 8 * tiles }, scope, ({ blocks, macros, numbers, parts }) => {
    const handles = [q, keys, values, table, spans, places?.handle ?? null, out, parts, normalizers]
    const args = [...handles, ...numbers, tokens, scale, softCap]
    // in a recorded step rows have one token, whose key the kernel before has put in its place
    const early = scope.backend.isRecording && places === undefined ? 1 : 0
    const all = { ...macros, TILES: tiles, WARPS: warps, EARLY: early }
    launch("pagedHalf", { blocks, threads: 32 * warps, macros: all, args }, scope)
  })
}

/**
 * Fills the rows of `out` that have at least `least` queries, and their log-normalizers: a token's result has the same bits
 * as if it were computed alone, by `pagedDecode` where that is batch-invariant.
 *
 * @param counts [R] queries of each row
 * @param normalizers [H, N] float32
 * @throws BatchInvarianceUnavailable where that is asked for and the kernel does not take such heads
 */
export const pagedTiles = (
  call: PagedCall,
  counts: Int32Array,
  least: number,
  { normalizers, out }: Pick<Work, "out" | "normalizers">,
  scope: KernelScope
): void => {
  checkInvariant(call, scope)
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
  pagedHalf(call, tiles, { splitLength: INVARIANT_KEYS, out, places: { handle, count }, normalizers }, scope)
}
