import type { Handle } from "../addon.ts"
import { aten, atenInPlace } from "../aten.ts"
import type { KernelScope } from "../kernel.ts"
import { INT64 } from "../scalar-type.ts"
import type { PagedCall } from "./paged-cuda.ts"
import { cast, wide } from "./storage.ts"
import { typeOf } from "../handle-facts.ts"

const [add, arange, div, eq, ge, indexSelect, lt, maskedFill, matmul, narrow, or, reshape] = [
  aten("add.Tensor"),
  aten("arange"),
  aten("div.Scalar"),
  aten("eq.Scalar"),
  aten("ge.Tensor"),
  aten("index_select"),
  aten("lt.Tensor"),
  aten("masked_fill.Scalar"),
  aten("matmul"),
  aten("narrow"),
  aten("logical_or"),
  aten("reshape")
]
const [scaled, softmax, sub, tanh, to, transpose, where] = [
  aten("mul.Scalar"),
  aten("softmax.int"),
  aten("sub.Scalar"),
  aten("tanh"),
  aten("to.dtype"),
  aten("transpose.int"),
  aten("where.self")
]
const indexCopy = atenInPlace("index_copy_")

/** Below any score; a row without a query has nothing but these, and no NaN. */
const HIDDEN = -1e30

/**
 * `pagedDecode` by libtorch's operators, for heads that no kernel of ours takes: of more than 8 queries a key head, or of a width that is no
 * multiple of 8. Every number stays on the device, so that a step with it can be recorded; it copies all pages that a row has
 * room for.
 */
export const composedDecode = (call: PagedCall, out: Handle, scope: KernelScope): void => {
  const { keys, q, rows, spans, values } = call
  const { addon, device } = scope.backend
  const [, heads, width] = addon.shape(q) as [number, number, number]
  const keyHeads = addon.shape(keys)[1]!
  const own = arange(rows, INT64, undefined, device)
  const line = (i: number) => to(reshape(narrow(spans, 0, i, 1), [rows]), INT64)
  // a row of another number of queries has none here
  const queries = where(eq(line(1), 1), line(0), own)
  const slots = slotsOf(call, scope)
  const gathered = (x: Handle) => transpose(reshape(wide(indexSelect(x, 0, slots)), [rows, -1, keyHeads, width]), 1, 2)
  const asked = reshape(wide(indexSelect(q, 0, queries)), [rows, keyHeads, heads / keyHeads, width])
  const hidden = hiddenFrom(line(2), call, scope)
  // whatever lies where no token is
  const seen = maskedFill(gathered(values), transpose(hidden, -2, -1), 0)
  const mixed = attendGathered(asked, gathered(keys), seen, call, (scores) => maskedFill(scores, hidden, HIDDEN))
  indexCopy(out, 0, queries, cast(reshape(mixed, [rows, heads, width]), typeOf(out)))
}

/**
 * [R, K, G, d] of queries [R, K, G, d] over keys and values [R, K, S, d].
 *
 * @param hide lowers the scores of places that are not to be seen
 */
export const attendGathered = (
  asked: Handle,
  keys: Handle,
  values: Handle,
  { scale, softCap }: { readonly scale: number; readonly softCap?: number | undefined },
  hide: (scores: Handle) => Handle
): Handle => {
  const scores = scaled(matmul(asked, transpose(keys, -2, -1)), scale)
  const capped = softCap === undefined ? scores : scaled(tanh(div(scores, softCap)), softCap)
  return matmul(softmax(hide(capped), -1, undefined), values)
}

/** [rows · room] int64: where each place of each row is. */
const slotsOf = ({ pageSize, rows, table, tableWidth }: PagedCall, { backend }: KernelScope): Handle => {
  const pages = scaled(to(reshape(table, [rows, tableWidth, 1]), INT64), pageSize)
  return reshape(add(pages, arange(pageSize, INT64, undefined, backend.device)), [-1])
}

/** [rows, 1, 1, room]: places that a row has not, or that its window is past. */
const hiddenFrom = (lengths: Handle, { pageSize, rows, tableWidth, window }: PagedCall, scope: KernelScope): Handle => {
  const places = arange(tableWidth * pageSize, INT64, undefined, scope.backend.device)
  const ends = reshape(lengths, [rows, 1, 1, 1])
  const later = ge(places, ends)
  return window === undefined ? later : or(later, lt(places, sub(ends, window)))
}
