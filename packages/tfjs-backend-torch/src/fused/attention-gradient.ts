import type { Handle } from "../addon.ts"
import { aten } from "../aten.ts"
import { isDense, typeOf } from "../handle-facts.ts"
import type { KernelScope } from "../kernel.ts"
import { BFLOAT16, FLOAT32, INT32 } from "../scalar-type.ts"
import { ATTENTION_THREADS } from "./cuda/attention-gradient.ts"
import { HEAD, KEYS, QUERIES } from "./cuda/attention-tiles.ts"
import { areSame, fillBlocks, placesOf } from "./attention-places.ts"
import { launch } from "./cuda/kernels.ts"
import { type AttentionOptions, type Heads, rowGroups } from "./row-groups.ts"
import { emptyOf } from "./storage.ts"

// The gradient of causal attention by a kernel of our own, after a forward pass by cuDNN or flash attention: for heads of 64 numbers
// in bfloat16, and rows end to end whose queries are their keys.

type Three = readonly [Handle, Handle, Handle]

const [contiguous, narrow, reshape] = [aten("contiguous"), aten("narrow"), aten("reshape")]
const MACROS = { T: "bf16", W: 8 }

export const fitsTiles = ({ k, q }: Heads, type: number, options: AttentionOptions, scope: KernelScope): boolean => {
  const { keys, queries, softCap, window } = options
  const { backend } = scope
  if (type !== BFLOAT16 || q.shape[2] !== HEAD || softCap !== undefined || backend.isDeterministic) return false
  if (window !== undefined && queries.lengths.some((length) => length > window)) return false
  return fillBlocks(queries, q.shape[0]!) && areSame(keys, queries) && k.shape[0] === q.shape[0] && backend.copiesBoxes
}

/** Cosine and sine of each token, [N, 32] float32. */
export type TileAngles = readonly [cos: Handle, sin: Handle]

/** Where rows lie: by number and length, so that the calls can be recorded, or by a list. */
const layoutOf = (options: AttentionOptions, areEqual: boolean, scope: KernelScope) => {
  if (areEqual) {
    const { count, length } = rowGroups(options)[0]!
    return { blocks: count * Math.ceil(length / KEYS), places: null, rows: count, length }
  }
  const places = placesOf(options.queries)
  const blocks = places.length / 4
  return { blocks, places: scope.upload(places, [blocks, 4], INT32), rows: 0, length: 0 }
}

/** [N, H, d] as copy engines read it: a matrix whose rows may be part of longer ones. */
const boxed = (x: Handle, scope: KernelScope): readonly [Handle, number] => {
  const { addon } = scope.backend
  const [tokens, heads] = addon.shape(x) as [number, number]
  const [step, headStep, one] = addon.strides(x) as [number, number, number]
  const isMatrix = one === 1 && headStep === HEAD && step % 8 === 0
  return [reshape(isMatrix ? x : contiguous(x), [tokens, heads * HEAD]), QUERIES]
}

const inOrder = (x: Handle): Handle => (isDense(x) ? x : contiguous(x))

/** Heads of keys whose blocks are together on the device. */
const togetherOn = ({ backend }: KernelScope, length: number): number =>
  Math.max(1, Math.round(backend.cuda!.multiprocessors / Math.max(1, Math.ceil(length / KEYS))))

/**
 * [dq, dk, dv], columns of one matrix; those of q and k turned back where there are angles.
 *
 * @param areEqual rows are equally long, and the log-normalizers lie as cuDNN has them, [R, H, T, 1]; else as flash attention, [H, N]
 */
export const tilesGradient = (
  { angles, areEqual, options }: { angles?: TileAngles | undefined; areEqual: boolean; options: AttentionOptions },
  [q, k, v]: Three,
  [out, normalizer]: readonly [Handle, Handle],
  dy: Handle,
  scope: KernelScope
): [Handle, Handle, Handle] => {
  const [tokens, heads] = scope.backend.addon.shape(q) as [number, number]
  const keyHeads = scope.backend.addon.shape(k)[1]!
  const { blocks, length, places, rows } = layoutOf(options, areEqual, scope)
  const tiles = blocks * (KEYS / QUERIES) * heads
  const statistics = emptyOf([tiles, 2, QUERIES], FLOAT32, scope)
  const sums = emptyOf([tiles, QUERIES, HEAD], FLOAT32, scope)
  const slopes = inOrder(dy)
  const known = [inOrder(out), slopes, inOrder(normalizer), places, statistics, sums, rows, length, heads, tokens]
  launch("attentionStatistics", { blocks: tiles, threads: 128, macros: MACROS, args: known }, scope)
  const step = (heads + 2 * keyHeads) * HEAD
  const all = emptyOf([tokens, step], typeOf(q), scope)
  const [dq, dk, dv] = [0, heads, heads + keyHeads].map((first, i) =>
    narrow(all, 1, first * HEAD, (i === 0 ? heads : keyHeads) * HEAD)
  ) as [Handle, Handle, Handle]
  const turns = angles ?? [null, null]
  const boxes = [q, slopes, k, v].map((x) => boxed(x, scope))
  const numbers = [rows, length, heads, keyHeads, togetherOn(scope, length), step, options.scale]
  const args = [...boxes, statistics, places, ...turns, sums, dk, dv, ...numbers]
  launch("attentionGradient", { blocks: blocks * keyHeads, threads: ATTENTION_THREADS, macros: MACROS, args }, scope)
  const last = [sums, places, ...turns, dq, rows, length, heads, step, options.scale]
  launch("attentionQueries", { blocks: tiles, threads: 128, macros: MACROS, args: last }, scope)
  return [
    reshape(dq, [tokens, heads, HEAD]),
    reshape(dk, [tokens, keyHeads, HEAD]),
    reshape(dv, [tokens, keyHeads, HEAD])
  ]
}
