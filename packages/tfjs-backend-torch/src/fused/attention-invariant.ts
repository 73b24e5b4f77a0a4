import type { Handle } from "../addon.ts"
import { aten } from "../aten.ts"
import type { KernelScope } from "../kernel.ts"
import { FLOAT32, INT32 } from "../scalar-type.ts"
import { pagedTiles } from "./paged-cuda.ts"
import type { AttentionOptions } from "./row-groups.ts"
import { emptyOf, zerosOf } from "./storage.ts"
import { typeOf } from "../handle-facts.ts"

const contiguous = aten("contiguous")

/**
 * Attention whose result for a token has the bits that it gets one by one through a cache.
 *
 * @returns out [N, H, d] and log-normalizers [H, N] float32; 0 for tokens outside all rows
 * @throws BatchInvarianceUnavailable where the kernel does not take such heads
 */
export const invariantForward = (
  heads: readonly [Handle, Handle, Handle],
  { keys: keySpans, queries, scale, softCap, window }: AttentionOptions,
  scope: KernelScope
): readonly [out: Handle, normalizers: Handle] => {
  const [q, keys, values] = heads.map((x) => contiguous(x)) as [Handle, Handle, Handle]
  const shape = scope.backend.addon.shape(q) as [number, number, number]
  const rows = queries.lengths.length
  const numbers = Int32Array.from([...queries.starts, ...queries.lengths, ...keySpans.lengths])
  const places = {
    table: scope.upload(keySpans.starts, [rows], INT32),
    spans: scope.upload(numbers, [3, rows], INT32),
    rows,
    tableWidth: keySpans.lengths.reduce((most, length) => Math.max(most, length), 0),
    pageSize: 0
  }
  const [tokens, headCount] = shape
  const isCovered = queries.lengths.reduce((total, length) => total + length, 0) === tokens
  const make = isCovered ? emptyOf : zerosOf
  const [out, normalizers] = [make(shape, typeOf(q), scope), make([headCount, tokens], FLOAT32, scope)]
  const call = { q, keys, values, ...places, scale, softCap, window }
  pagedTiles(call, queries.lengths, 1, { out, normalizers }, scope)
  return [out, normalizers]
}
