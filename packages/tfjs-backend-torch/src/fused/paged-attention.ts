import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Addon, Handle } from "../addon.ts"
import { aten, atenInPlace } from "../aten.ts"
import type { Kernel, KernelScope } from "../kernel.ts"
import { FLOAT32, INT64 } from "../scalar-type.ts"
import { fitsFlash } from "./attention-flash.ts"
import { rowForward } from "./attention-rows.ts"
import { fitsPagedDecode, type PagedCall, pagedDecode, pagedTiles } from "./paged-cuda.ts"
import { attendGathered, composedDecode } from "./paged-composed.ts"
import { pagedFlash } from "./paged-flash.ts"
import { hiddenTokens, type PagedLayout, pagedLayout, type PagedRows, putSlots } from "./paged-layout.ts"
import { activation, cast, emptyOf, isHostReal, wide, zerosOf } from "./storage.ts"
import { typeOf } from "../handle-facts.ts"

interface PagedOptions {
  readonly rows: PagedRows
  readonly scale: number
  readonly window?: number | undefined
  readonly softCap?: number | undefined
}

interface Paged {
  readonly q: Handle
  readonly keys: Handle
  readonly values: Handle
  readonly options: PagedOptions
  readonly scope: KernelScope
}

const [contiguous, indexSelect, view, transpose, add, narrow] = [
  aten("contiguous"),
  aten("index_select"),
  aten("reshape"),
  aten("transpose.int"),
  aten("add.Tensor"),
  aten("narrow")
]
const [indexCopy, copyInto] = [atenInPlace("index_copy_"), atenInPlace("copy_")]

type Inputs = Record<"q" | "keys" | "values" | "table" | "spans", TensorInfo>

/** {q, keys, values, table, spans} → out: rows of one query all at once, longer rows at once where flash attention can. */
export const pagedAttention: Kernel = (inputs: Inputs, options: PagedOptions, scope) => {
  const q = activation(inputs.q, scope)
  const paged = { q, keys: scope.of(inputs.keys), values: scope.of(inputs.values), options, scope }
  const { starts, lengths } = options.rows.queries
  const layout = pagedLayout(options.rows, options.window)
  const { queryCounts, single } = layout
  const covered = queryCounts.reduce((total, count) => total + count, single.length) === inputs.q.shape[0]
  const out = (covered ? emptyOf : zerosOf)(inputs.q.shape, typeOf(q), scope)
  if (queryCounts.length > 0) {
    if (isOnHost(paged, scope)) scope.backend.addon.pagedPrompts(...hostArguments(callOf(paged, inputs), out))
    else if (scope.backend.isBatchInvariant) pagedTiles(callOf(paged, inputs), lengths, 2, { out }, scope)
    else longRows(paged, layout, out)
  }
  if (single.length > 0) {
    const call = callOf(paged, inputs)
    if (attendsPages(call, scope)) {
      attendPages(call, out, scope)
    } else {
      const places = scope.upload(
        Int32Array.from(single, (row) => starts[row]!),
        [single.length],
        INT64
      )
      indexCopy(out, 0, places, singleQueries(paged, single, places))
    }
  }
  return scope.out(out, "float32", inputs.q.shape)
}

const callOf = ({ keys, options, q, scope, values }: Paged, { spans, table }: Inputs): PagedCall => {
  const { rows, softCap, window } = options
  return {
    q: contiguous(q),
    keys,
    values,
    table: scope.of(table),
    spans: scope.of(spans),
    rows: rows.queries.lengths.length,
    tableWidth: rows.width,
    pageSize: rows.pageSize,
    scale: options.scale,
    softCap,
    window
  }
}

const isOnHost = ({ keys, q, values }: Pick<PagedCall, "q" | "keys" | "values">, scope: KernelScope): boolean =>
  isHostReal(q, scope) && typeOf(keys) === typeOf(q) && typeOf(values) === typeOf(q)

const attendsPages = (call: Pick<PagedCall, "q" | "keys" | "values">, scope: KernelScope): boolean =>
  isOnHost(call, scope) || scope.backend.isBatchInvariant || fitsPagedDecode(call, scope)

/** Fills the rows of `out` that have one query; the others stay as they are. */
export const attendPages = (call: PagedCall, out: Handle, scope: KernelScope): void => {
  if (!attendsPages(call, scope)) return composedDecode(call, out, scope)
  if (!isOnHost(call, scope)) return pagedDecode(call, out, scope)
  scope.backend.addon.pagedDecode(...hostArguments(call, out))
}

const hostArguments = (
  { keys, pageSize, q, scale, softCap = 0, spans, table, values, window = 0 }: PagedCall,
  out: Handle
): Parameters<Addon["pagedDecode"]> => [q, keys, values, table, spans, out, pageSize, scale, window, softCap]

const longRows = (paged: Paged, { keyCounts, long, places, queryCounts, slots }: PagedLayout, out: Handle): void => {
  const { keys, options, q, scope, values } = paged
  const { lengths, starts } = options.rows.queries
  if (!fitsFlash(q, options.softCap, scope)) {
    for (const row of long) copyInto(narrow(out, 0, starts[row]!, lengths[row]!), longRow(paged, row))
    return
  }
  const type = typeOf(q)
  const spans = { queries: queryCounts, keys: keyCounts, slots, window: options.window, scale: options.scale }
  const attend = (asked: Handle) => pagedFlash(asked, cast(keys, type), cast(values, type), spans, scope)
  if (places === undefined) {
    const count = queryCounts.reduce((total, length) => total + length, 0)
    copyInto(narrow(out, 0, 0, count), attend(narrow(q, 0, 0, count)))
    return
  }
  const index = scope.upload(places, [places.length], INT64)
  indexCopy(out, 0, index, attend(indexSelect(q, 0, index)))
}

/** [T, H, d] of a row of several queries. */
const longRow = ({ keys, options, q, scope, values }: Paged, row: number): Handle => {
  const { lengths, queries } = options.rows
  const first = hiddenTokens(options.rows, options.window, row)
  const count = lengths[row]! - first
  const slots = new Int32Array(count)
  putSlots(slots, 0, options.rows, row, first)
  const index = scope.upload(slots, [count], INT64)
  const type = typeOf(q)
  const rowsOf = (x: Handle) => view(x, [1, -1, ...scope.backend.addon.shape(x).slice(1)])
  const own = [keys, values].map((x) => rowsOf(cast(indexSelect(x, 0, index), type))) as [Handle, Handle]
  const asked = rowsOf(narrow(q, 0, queries.starts[row]!, queries.lengths[row]!))
  const span = (length: number) => ({ starts: Int32Array.of(0), lengths: Int32Array.of(length) })
  const spans = { queries: span(queries.lengths[row]!), keys: span(count) }
  const [out] = rowForward([asked, ...own], { ...options, ...spans }, scope)
  return view(out, [queries.lengths[row]!, ...scope.backend.addon.shape(q).slice(1)])
}

/** [B, H, d] of rows with one query each. */
const singleQueries = (paged: Paged, rows: ReadonlyArray<number>, places: Handle): Handle => {
  const { keys, options, q, scope, values } = paged
  const { addon } = scope.backend
  const [, heads, width] = addon.shape(q) as [number, number, number]
  const keyHeads = addon.shape(keys)[1]!
  const firsts = rows.map((row) => hiddenTokens(options.rows, options.window, row))
  const counts = rows.map((row, i) => options.rows.lengths[row]! - firsts[i]!)
  const longest = Math.max(...counts)
  const slots = new Int32Array(rows.length * longest)
  const mask = new Float32Array(rows.length * longest)
  rows.forEach((row, i) => {
    putSlots(slots, i * longest, options.rows, row, firsts[i]!)
    mask.fill(-1e30, i * longest + counts[i]!, (i + 1) * longest)
  })
  const index = scope.upload(slots, [slots.length], INT64)
  /** [B, K, S, d] */
  const gathered = (x: Handle) =>
    transpose(view(wide(indexSelect(x, 0, index)), [rows.length, longest, keyHeads, width]), 1, 2)
  const asked = view(wide(indexSelect(q, 0, places)), [rows.length, keyHeads, heads / keyHeads, width])
  const isEven = counts.every((count) => count === longest)
  const mixed = attendGathered(asked, gathered(keys), gathered(values), options, (scores) =>
    isEven ? scores : add(scores, scope.upload(mask, [rows.length, 1, 1, longest], FLOAT32))
  )
  return cast(view(mixed, [rows.length, heads, width]), typeOf(q))
}
