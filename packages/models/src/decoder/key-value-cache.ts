import {
  gatherSlots,
  narrowed,
  pagedAttention,
  pagedRows,
  type Replayed,
  type RotaryAngles,
  rotaryHeads,
  type RowSpans,
  type Tensor,
  type Tensor1D,
  type Tensor3D,
  tf,
  updateRows
} from "@plumbline/runtime"
import type { TokenRows } from "@plumbline/data"
import type { DecoderConfig } from "../config/decoder-config.ts"
import type { AskedTokens } from "./asked-tokens.ts"
import type { Attend } from "./attention-layer.ts"
import type { Weights } from "./weights.ts"

/**
 * Rotated keys and values of tokens already seen, so that the next token costs one token. Rows own pages of it, by
 * tables that are their owner's business; rows may share pages. Owns its tensors.
 */
export interface KeyValueCache {
  readonly pages: number
  /** Tokens of a page. */
  readonly pageSize: number
  /** [layers] keys and values, [pages · pageSize, K, d] each, stored as activations are; page p begins at p · pageSize */
  readonly layers: Array<{ keys: Tensor3D; values: Tensor3D }>
  /** Steps over this cache that were recorded, by the weights of a model; see recorded-step.ts. */
  readonly recordings: Map<Weights, Map<string, Recording>>
  /** Angles of every position, once a recorded step has needed them. */
  angles: RotaryAngles | undefined
  readonly dispose: () => void
}

/** A step for rows of one number, and the tensors of the weights that it reads. */
export interface Recording {
  readonly step: Replayed<{ readonly numbers: Tensor }>
  /** What it reads, and how often that had moved. */
  readonly weights: ReadonlyArray<object>
  readonly moves: number
}

/** New tokens, one span a row, and where the rows' keys and values lie. */
export interface CachedRows extends TokenRows {
  /** [R · width] pages of each row in the order of its tokens; what lies beyond its tokens, new ones included, is not read */
  readonly table: Int32Array
  /** Pages of a row of the table. */
  readonly width: number
  /** [R] tokens before the new ones, whose keys and values the pages have */
  readonly held: Int32Array
  /** Tokens that are known on the device alone, and stand for those in `tokens`. */
  readonly drawn?: DrawnTokens | undefined
}

/** Token r of a step is ids[source[r]]. */
export interface DrawnTokens {
  /** [M] int32 */
  readonly ids: Tensor1D
  readonly source: Int32Array
}

/** Rows whose tokens the host knows: waits for the device where it does not. What could not be drawn (−1) is token 0. */
export const knownRows = ({ drawn, ...rows }: CachedRows): CachedRows => {
  if (drawn === undefined) return rows
  const ids = drawn.ids.dataSync()
  return { ...rows, tokens: drawn.source.map((from) => Math.max(0, ids[from]!)) }
}

/** Keys, already turned, and values: [N, K, d] each. */
export interface KeysValues {
  readonly k: Tensor3D
  readonly v: Tensor3D
}

export const createKeyValueCache = (config: DecoderConfig, pages: number, pageSize: number): KeyValueCache => {
  const { headWidth, keyValueHeads } = config
  const empty = (): Tensor3D => tf.tidy(() => tf.keep(narrowed(zeros([pages * pageSize, keyValueHeads, headWidth]))))
  const layers = Array.from({ length: config.layers }, () => ({ keys: empty(), values: empty() }))
  const recordings: KeyValueCache["recordings"] = new Map()
  const cache: KeyValueCache = {
    pages,
    pageSize,
    layers,
    recordings,
    angles: undefined,
    dispose: () => {
      for (const shapes of recordings.values()) for (const { step } of shapes.values()) step.dispose()
      layers.forEach(({ keys, values }) => tf.dispose([keys, values]))
      if (cache.angles !== undefined) tf.dispose([cache.angles.cos, cache.angles.sin])
    }
  }
  return cache
}

/** Made where they lie: `tf.zeros` would send as many from the host. */
const zeros = (shape: [number, number, number]): Tensor3D => tf.fill(shape, 0)

/**
 * Attention of new tokens over the cache and themselves. Each layer's keys and values are written into the cache as
 * it is reached. A span of length 0 leaves its row as it is.
 *
 * @param asked tokens that attend in the last layer; all when absent
 */
export const attendThroughCache = (
  { scale, windows }: { readonly scale: number; readonly windows: DecoderConfig["windows"] },
  cache: KeyValueCache,
  rows: CachedRows,
  asked?: AskedTokens
): Attend => {
  const spans = {
    table: rows.table,
    width: rows.width,
    lengths: rows.held.map((held, row) => held + rows.lengths[row]!),
    pageSize: cache.pageSize
  }
  const pagedFor = (queries: RowSpans) => pagedRows({ ...spans, queries }, cache.pages * cache.pageSize)
  const all = { paged: pagedFor(rows), of: (q: Tensor3D) => q }
  const last = asked && { paged: pagedFor(asked.queries), of: (q: Tensor3D) => gatherSlots(q, asked.tokens) }
  const { slots, tokens } = newSlots(cache, rows)
  const write = (target: Tensor3D, values: Tensor3D): Tensor3D => {
    const source = tokens === undefined ? values : gatherSlots(values, tokens)
    return tf.keep(updateRows(target, slots, source))
  }
  return (layer, heads, angles) => {
    const { k, q, v } = rotaryHeads(heads, angles)
    const held = cache.layers[layer]!
    held.keys = write(held.keys, k)
    held.values = write(held.values, v)
    const { of, paged } = (layer === cache.layers.length - 1 ? last : undefined) ?? all
    return pagedAttention(of(q), held.keys, held.values, { rows: paged, scale, window: windows[layer] })
  }
}

/** Writes keys and values of tokens that no block computed. */
export const writeHeads = (cache: KeyValueCache, rows: CachedRows, of: (layer: number) => KeysValues): void =>
  tf.tidy(() => {
    const { slots } = newSlots(cache, rows)
    cache.layers.forEach((held, layer) => {
      const { k, v } = of(layer)
      held.keys = tf.keep(updateRows(held.keys, slots, k))
      held.values = tf.keep(updateRows(held.values, slots, v))
    })
  })

/** Copies whole pages: page `from[i]` to page `to[i]`, in all layers. */
export const copyPages = (cache: KeyValueCache, from: ReadonlyArray<number>, to: ReadonlyArray<number>): void => {
  const slotsOf = (pages: ReadonlyArray<number>) =>
    Int32Array.from(
      pages.flatMap((page) => Array.from({ length: cache.pageSize }, (_, i) => page * cache.pageSize + i))
    )
  const [source, target] = [slotsOf(from), slotsOf(to)]
  const copy = (values: Tensor3D): Tensor3D =>
    tf.tidy(() => tf.keep(updateRows(values, target, gatherSlots(values, source))))
  for (const layer of cache.layers) {
    layer.keys = copy(layer.keys)
    layer.values = copy(layer.values)
  }
}

/** Where each new token goes; `tokens` are their flat positions, undefined where there is no padding. */
const newSlots = ({ pageSize }: KeyValueCache, { held, lengths, starts, table, tokens, width }: CachedRows) => {
  const count = lengths.reduce((total, length) => total + length, 0)
  const slots = new Int32Array(count)
  const places = new Int32Array(count)
  let next = 0
  lengths.forEach((length, row) => {
    for (let i = 0; i < length; i++) {
      const t = held[row]! + i
      slots[next] = table[row * width + Math.floor(t / pageSize)]! * pageSize + (t % pageSize)
      places[next++] = starts[row]! + i
    }
  })
  return { slots, tokens: count === tokens.length ? undefined : places }
}
