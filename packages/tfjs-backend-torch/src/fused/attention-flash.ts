import type { Handle } from "../addon.ts"
import { aten, atenAll, atenInPlace } from "../aten.ts"
import type { KernelScope } from "../kernel.ts"
import { FLOAT32, INT32, INT64 } from "../scalar-type.ts"
import { type AttentionOptions, type Attended, cumulative, type RowSpans } from "./row-groups.ts"
import { isHalf } from "./attention-cudnn.ts"
import { emptyOf, zerosOf } from "./storage.ts"
import { typeOf } from "../handle-facts.ts"

// Flash attention over rows of any lengths, given by cumulative lengths. Tokens between rows are left out and come back as 0.

type Three = readonly [Handle, Handle, Handle]

const [indexSelect, contiguous, to] = [aten("index_select"), aten("contiguous"), aten("to.dtype")]
const indexCopy = atenInPlace("index_copy_")
const forward = atenAll("_flash_attention_forward")
const backward = atenAll("_flash_attention_backward")

/** @param q [N, H, d] */
export const fitsFlash = (q: Handle, softCap: number | undefined, scope: KernelScope): boolean => {
  const { addon, cuda } = scope.backend
  const width = addon.shape(q)[2]!
  return (
    cuda !== undefined && cuda.capability >= 80 && isHalf(q) && softCap === undefined && width % 8 === 0 && width <= 256
  )
}

/** Rows end to end: cumulative lengths, the longest, and where each of their tokens lies if not where it is packed. */
interface Packing {
  readonly cumulative: Handle
  readonly longest: number
  readonly index: Handle | undefined
}

const packingOf = ({ lengths, starts }: RowSpans, tokens: number, scope: KernelScope): Packing => {
  const ends = cumulative(lengths)
  const total = ends.at(-1)!
  const gapless = total === tokens && starts.every((start, row) => lengths[row] === 0 || start === ends[row])
  return {
    cumulative: scope.upload(ends, [ends.length], INT32),
    longest: lengths.reduce((most, length) => Math.max(most, length), 0),
    index: gapless ? undefined : to(scope.upload(places(lengths, starts, total), [total], INT32), INT64)
  }
}

const places = (lengths: Int32Array, starts: Int32Array, total: number): Int32Array => {
  const index = new Int32Array(total)
  let filled = 0
  lengths.forEach((length, row) => {
    for (let i = 0; i < length; i++) index[filled++] = starts[row]! + i
  })
  return index
}

const packed = (x: Handle, { index }: Packing): Handle =>
  index === undefined ? contiguous(x) : indexSelect(x, 0, index)

const unpacked = (x: Handle, { index }: Packing, tokens: number, scope: KernelScope): Handle => {
  if (index === undefined) return x
  const [, ...rest] = scope.backend.addon.shape(x)
  const all = zerosOf([tokens, ...rest], typeOf(x), scope)
  indexCopy(all, 0, index, x)
  return all
}

const packings = ([q, k]: Three, options: AttentionOptions, scope: KernelScope) => {
  const [tokens, keyTokens] = [scope.backend.addon.shape(q)[0]!, scope.backend.addon.shape(k)[0]!]
  const { keys, queries } = attending(options)
  if (queries.lengths.length === 0) return undefined
  const of = packingOf(queries, tokens, scope)
  return { of, over: keys === queries ? of : packingOf(keys, keyTokens, scope), tokens, keyTokens }
}

/** The rows that have queries: libtorch takes rows of at most one query for rows of exactly one. */
const attending = ({ keys, queries }: Pick<AttentionOptions, "keys" | "queries">) => {
  if (!queries.lengths.includes(0)) return { keys, queries }
  const rows = Array.from(queries.lengths.keys()).filter((row) => queries.lengths[row] !== 0)
  const among = ({ lengths, starts }: RowSpans): RowSpans => ({
    starts: Int32Array.from(rows, (row) => starts[row]!),
    lengths: Int32Array.from(rows, (row) => lengths[row]!)
  })
  const some = among(queries)
  return { queries: some, keys: keys === queries ? some : among(keys) }
}

const zerosLike = (x: Handle, scope: KernelScope): Handle => zerosOf(scope.backend.addon.shape(x), typeOf(x), scope)

/** Keys to the left of its own that a query sees; all where absent. */
const left = ({ window }: AttentionOptions) => (window === undefined ? undefined : window - 1)

export const flashForward = (heads: Three, options: AttentionOptions, scope: KernelScope): Attended => {
  const found = packings(heads, options, scope)
  if (found === undefined)
    return [zerosLike(heads[0], scope), zerosOf([scope.backend.addon.shape(heads[0])[1]!, 0], FLOAT32, scope)]
  const { of, over, tokens } = found
  const windows = [left(options), left(options) === undefined ? undefined : 0]
  const [out, normalizer] = forward(
    packed(heads[0], of),
    packed(heads[1], over),
    packed(heads[2], over),
    of.cumulative,
    over.cumulative,
    of.longest,
    over.longest,
    0,
    true,
    false,
    options.scale,
    ...windows
  ) as [Handle, Handle]
  return [unpacked(out, of, tokens, scope), normalizer]
}

/** Log-normalizers [H, N] as the gradient reads them: of the rows' tokens alone. */
export const flashNormalizer = (byHead: Handle, { queries }: AttentionOptions, scope: KernelScope): Handle => {
  const { index } = packingOf(queries, scope.backend.addon.shape(byHead)[1]!, scope)
  return index === undefined ? byHead : indexSelect(byHead, 1, index)
}

export const flashGradient = (
  heads: Three,
  [out, normalizer]: readonly [Handle, Handle],
  dy: Handle,
  options: AttentionOptions,
  scope: KernelScope
): Array<Handle> => {
  const found = packings(heads, options, scope)
  if (found === undefined) return heads.map((x) => zerosLike(x, scope))
  const { keyTokens, of, over, tokens } = found
  const unused = emptyOf([], INT64, scope)
  const windows = [left(options), left(options) === undefined ? undefined : 0]
  const [dq, dk, dv] = backward(
    packed(dy, of),
    packed(heads[0], of),
    packed(heads[1], over),
    packed(heads[2], over),
    packed(out, of),
    normalizer,
    of.cumulative,
    over.cumulative,
    of.longest,
    over.longest,
    0,
    true,
    unused,
    unused,
    options.scale,
    ...windows
  ) as [Handle, Handle, Handle]
  return [unpacked(dq, of, tokens, scope), unpacked(dk, over, keyTokens, scope), unpacked(dv, over, keyTokens, scope)]
}
