import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten, atenInPlace } from "../aten.ts"
import type { Kernel, KernelScope } from "../kernel.ts"
import { FLOAT32, INT64 } from "../scalar-type.ts"
import { rowForward } from "./attention-rows.ts"
import type { RowSpans } from "./row-groups.ts"
import { fitsPagedDecode, fitsPagedFlash, pagedDecode, pagedFlash } from "./paged-cuda.ts"
import { activation, cast, emptyOf, typeOf, wide, zerosOf } from "./storage.ts"

interface PagedOptions {
  readonly rows: {
    readonly queries: RowSpans
    readonly table: Int32Array
    readonly width: number
    readonly lengths: Int32Array
    readonly pageSize: number
  }
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

const [contiguous, indexSelect, view, transpose, matmul, scaled, add, softmax, tanh, div, narrow] = [
  aten("contiguous"),
  aten("index_select"),
  aten("reshape"),
  aten("transpose.int"),
  aten("matmul"),
  aten("mul.Scalar"),
  aten("add.Tensor"),
  aten("softmax.int"),
  aten("tanh"),
  aten("div.Scalar"),
  aten("narrow")
]
const [indexCopy, copyInto] = [atenInPlace("index_copy_"), atenInPlace("copy_")]

type Inputs = Record<"q" | "keys" | "values" | "table" | "spans", TensorInfo>

/** {q, keys, values, table, spans} → out: rows of one query all at once, longer rows at once where flash attention can. */
export const pagedAttention: Kernel = (inputs: Inputs, options: PagedOptions, scope) => {
  const q = activation(inputs.q, scope)
  const paged = { q, keys: scope.of(inputs.keys), values: scope.of(inputs.values), options, scope }
  const { starts, lengths } = options.rows.queries
  const [single, long] = [1, 2].map((least) =>
    [...lengths.keys()].filter((row) => (least === 1 ? lengths[row] === 1 : lengths[row]! > 1))
  ) as [Array<number>, Array<number>]
  const covered = single.length + long.reduce((total, row) => total + lengths[row]!, 0) === inputs.q.shape[0]
  const out = (covered ? emptyOf : zerosOf)(inputs.q.shape, typeOf(q, scope), scope)
  if (long.length > 0) longRows(paged, long, out)
  if (single.length > 0) {
    const { pageSize, width } = options.rows
    const heads = { ...paged, q: contiguous(q) }
    if (fitsPagedDecode(heads, scope)) {
      const [table, spans] = [scope.of(inputs.table), scope.of(inputs.spans)]
      const { scale, softCap, window } = options
      const numbers = { rows: lengths.length, tableWidth: width, pageSize, scale, softCap, window }
      pagedDecode({ ...heads, table, spans, ...numbers }, out, scope)
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

const longRows = (paged: Paged, rows: ReadonlyArray<number>, out: Handle): void => {
  const { keys, options, q, scope, values } = paged
  const { lengths, starts } = options.rows.queries
  if (!fitsPagedFlash(q, options.softCap, scope)) {
    for (const row of rows) copyInto(narrow(out, 0, starts[row]!, lengths[row]!), longRow(paged, row))
    return
  }
  const tokens = Int32Array.from(
    rows.flatMap((row) => Array.from({ length: lengths[row]! }, (_, i) => starts[row]! + i))
  )
  const counts = rows.map((row) => options.rows.lengths[row]! - hidden(options, row))
  const slots = new Int32Array(counts.reduce((total, count) => total + count, 0))
  let next = 0
  rows.forEach((row, i) => {
    putSlots(slots, next, options, row, hidden(options, row))
    next += counts[i]!
  })
  const places = scope.upload(tokens, [tokens.length], INT64)
  const type = typeOf(q, scope)
  const queries = rows.map((row) => lengths[row]!)
  const spans = { queries, keys: counts, slots, window: options.window, scale: options.scale }
  indexCopy(
    out,
    0,
    places,
    pagedFlash(indexSelect(q, 0, places), cast(keys, type, scope), cast(values, type, scope), spans, scope)
  )
}

/** Slots of a row's tokens from `first` on, written from `at` on. */
const putSlots = (into: Int32Array, at: number, { rows }: PagedOptions, row: number, first: number): void => {
  const { lengths, pageSize, table, width } = rows
  for (let t = first; t < lengths[row]!; t++) {
    into[at + t - first] = table[row * width + Math.floor(t / pageSize)]! * pageSize + (t % pageSize)
  }
}

/** Tokens of a row that none of its queries sees. */
const hidden = ({ rows, window }: PagedOptions, row: number): number =>
  window === undefined ? 0 : Math.max(0, rows.lengths[row]! - rows.queries.lengths[row]! - window + 1)

/** [T, H, d] of a row of several queries. */
const longRow = ({ keys, options, q, scope, values }: Paged, row: number): Handle => {
  const { lengths, queries } = options.rows
  const first = hidden(options, row)
  const count = lengths[row]! - first
  const slots = new Int32Array(count)
  putSlots(slots, 0, options, row, first)
  const index = scope.upload(slots, [count], INT64)
  const type = typeOf(q, scope)
  const rowsOf = (x: Handle) => view(x, [1, -1, ...scope.backend.addon.shape(x).slice(1)])
  const own = [keys, values].map((x) => rowsOf(cast(indexSelect(x, 0, index), type, scope))) as [Handle, Handle]
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
  const firsts = rows.map((row) => hidden(options, row))
  const counts = rows.map((row, i) => options.rows.lengths[row]! - firsts[i]!)
  const longest = Math.max(...counts)
  const slots = new Int32Array(rows.length * longest)
  const mask = new Float32Array(rows.length * longest)
  rows.forEach((row, i) => {
    putSlots(slots, i * longest, options, row, firsts[i]!)
    mask.fill(-1e30, i * longest + counts[i]!, (i + 1) * longest)
  })
  const index = scope.upload(slots, [slots.length], INT64)
  /** [B, K, S, d] */
  const gathered = (x: Handle) =>
    transpose(view(wide(indexSelect(x, 0, index), scope), [rows.length, longest, keyHeads, width]), 1, 2)
  const asked = view(wide(indexSelect(q, 0, places), scope), [rows.length, keyHeads, heads / keyHeads, width])
  let scores = scaled(matmul(asked, transpose(gathered(keys), -2, -1)), options.scale)
  if (options.softCap !== undefined) scores = scaled(tanh(div(scores, options.softCap)), options.softCap)
  if (counts.some((count) => count < longest)) {
    scores = add(scores, scope.upload(mask, [rows.length, 1, 1, longest], FLOAT32))
  }
  const mixed = matmul(softmax(scores, -1, undefined), gathered(values))
  return cast(view(mixed, [rows.length, heads, width]), typeOf(q, scope), scope)
}
