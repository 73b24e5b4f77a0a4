import type { Handle } from "../addon.ts"
import { aten, atenAll } from "../aten.ts"
import type { KernelScope } from "../kernel.ts"
import { FLOAT32, INT32, INT64 } from "../scalar-type.ts"
import { cudaStorage, launch } from "./cuda/kernels.ts"
import { isHalf } from "./attention-cudnn.ts"
import { emptyOf } from "./storage.ts"

// Attention over the pages of a cache on CUDA: our kernel for rows with one query, flash attention for longer ones.

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
  readonly tableWidth: number
  readonly pageSize: number
  readonly scale: number
  readonly window: number | undefined
  readonly softCap: number | undefined
}

const THREADS = 128

/** Whether tensor cores take the heads, and the threads of a block then; see PAGED_DECODE_HALF. */
const threadsOfHalf = (T: string, width: number, { backend }: KernelScope): number | undefined => {
  if (T !== "bf16" || backend.cuda!.capability < 80) return undefined
  return width === 64 ? 128 : width === 128 ? 64 : undefined
}

/** Keys of one block, at most and at least; a row with more is split, and its parts are merged. */
const [MOST_KEYS, LEAST_KEYS] = [512, 64]
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

/** Keys that a group of threads reads at a time: as many as registers hold beside the queries and the sums. */
const aheadOf = (T: string, group: number): number => (T === "float" ? 1 : group > 4 ? 2 : 4)

/** Few rows are split into as many blocks as the device runs at a time. */
const keysOfBlock = (keys: number, blocks: number, { backend }: KernelScope): number => {
  const wanted = Math.ceil((2 * backend.cuda!.multiprocessors) / blocks)
  const share = Math.ceil(keys / wanted / LEAST_KEYS) * LEAST_KEYS
  return Math.min(MOST_KEYS, Math.max(LEAST_KEYS, share))
}

/** Fills the rows of `out` that have one query; the others stay as they are. */
export const pagedDecode = (call: PagedCall, out: Handle, scope: KernelScope): void => {
  const { keys, pageSize, q, rows, softCap = 0, spans, table, tableWidth, values, window = 0 } = call
  const { group, keyHeads, width } = shapeOf(call, scope)
  const blocks = rows * keyHeads
  const splitLength = keysOfBlock(tableWidth * pageSize, blocks, scope)
  const splits = Math.max(1, Math.ceil((tableWidth * pageSize) / splitLength))
  const T = cudaStorage([q], scope)!
  const macros = { T, W: 8, D: width, G: group, PAGE: pageSize }
  const parts = splits === 1 ? null : emptyOf([blocks * splits, group, width + 2], FLOAT32, scope)
  const numbers = [rows, tableWidth, keyHeads, splits, splitLength, window, call.scale, softCap]
  const args = [q, keys, values, table, spans, out, parts, ...numbers]
  const half = threadsOfHalf(T, width, scope)
  if (half !== undefined) launch("pagedDecodeHalf", { blocks: blocks * splits, threads: half, macros, args }, scope)
  else {
    const ahead = { ...macros, AHEAD: aheadOf(T, group) }
    launch("pagedDecode", { blocks: blocks * splits, threads: THREADS, macros: ahead, args }, scope)
  }
  if (parts === null) return
  launch("pagedMerge", { blocks, threads: THREADS, macros, args: [parts, spans, out, rows, keyHeads, splits] }, scope)
}

/** Rows of several queries, whose keys' slots are laid end to end. */
export interface LongRows {
  /** [R] queries and keys of each row */
  readonly queries: ReadonlyArray<number>
  readonly keys: ReadonlyArray<number>
  readonly slots: Int32Array
  readonly window: number | undefined
  readonly scale: number
}

const flash = atenAll("_flash_attention_forward")
const indexSelect = aten("index_select")

export const fitsPagedFlash = (q: Handle, softCap: number | undefined, scope: KernelScope): boolean => {
  const { addon, cuda } = scope.backend
  const width = addon.shape(q)[2]!
  return (
    cuda !== undefined &&
    cuda.capability >= 80 &&
    isHalf(q, scope) &&
    softCap === undefined &&
    width % 8 === 0 &&
    width <= 256
  )
}

/** [ΣT, H, d] of queries laid end to end. */
export const pagedFlash = (q: Handle, keys: Handle, values: Handle, rows: LongRows, scope: KernelScope): Handle => {
  const index = scope.upload(rows.slots, [rows.slots.length], INT64)
  const ends = (lengths: ReadonlyArray<number>): Handle => {
    const cumulative = new Int32Array(lengths.length + 1)
    lengths.forEach((length, row) => (cumulative[row + 1] = cumulative[row]! + length))
    return scope.upload(cumulative, [cumulative.length], INT32)
  }
  const own = [keys, values].map((x) => indexSelect(x, 0, index))
  const most = [rows.queries, rows.keys].map((lengths) => Math.max(...lengths))
  const windows = rows.window === undefined ? [undefined, undefined] : [rows.window - 1, 0]
  const [out] = flash(q, ...own, ends(rows.queries), ends(rows.keys), ...most, 0, true, false, rows.scale, ...windows)
  return out!
}
