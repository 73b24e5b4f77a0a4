import { attention, type Tensor3D, tf, updateRows } from "@plumbline/runtime"
import type { TokenRows } from "@plumbline/data"
import type { DecoderConfig } from "../config/decoder-config.ts"
import type { Attend } from "./attention-layer.ts"

/** Rotated keys and values of tokens already seen, so that the next token costs one token. Owns its tensors. */
export interface KeyValueCache {
  readonly rows: number
  /** Tokens that each row can hold. */
  readonly capacity: number
  /** [rows] tokens each row holds; set one to 0 to start the row afresh */
  readonly lengths: Int32Array
  /** [layers] keys and values, [rows · capacity, K, d] float32 each; row r begins at r · capacity */
  readonly layers: Array<{ keys: Tensor3D; values: Tensor3D }>
  readonly dispose: () => void
}

export const createKeyValueCache = (config: DecoderConfig, rows: number, capacity: number): KeyValueCache => {
  const shape: [number, number, number] = [rows * capacity, config.keyValueHeads, config.headWidth]
  const empty = (): Tensor3D => tf.keep(tf.zeros(shape) as Tensor3D)
  const layers = Array.from({ length: config.layers }, () => ({ keys: empty(), values: empty() }))
  return {
    rows,
    capacity,
    lengths: new Int32Array(rows),
    layers,
    dispose: () => layers.forEach(({ keys, values }) => tf.dispose([keys, values]))
  }
}

/**
 * Attention of new tokens over the cache and themselves. Each layer's keys and values are written into the cache as
 * it is reached; `lengths` advances by `advance`, once all layers are through.
 *
 * @param rows one span a cache row, in order; a span of length 0 leaves its row as it is
 */
export const attendThroughCache = (
  { scale, windows }: { readonly scale: number; readonly windows: DecoderConfig["windows"] },
  cache: KeyValueCache,
  rows: TokenRows
): Attend => {
  const { slots, tokens } = cacheSlots(cache, rows)
  const keys = {
    starts: Int32Array.from({ length: cache.rows }, (_, row) => row * cache.capacity),
    lengths: cache.lengths.map((length, row) => length + rows.lengths[row]!)
  }
  const write = (target: Tensor3D, values: Tensor3D): Tensor3D => {
    const source = tokens === undefined ? values : tf.gather(values, tf.tensor1d(tokens, "int32"))
    return tf.keep(updateRows(target, slots, source))
  }
  return (layer, q, k, v) => {
    const held = cache.layers[layer]!
    held.keys = write(held.keys, k)
    held.values = write(held.values, v)
    return attention(q, held.keys, held.values, { queries: rows, keys, scale, window: windows[layer] })
  }
}

export const advance = (cache: KeyValueCache, rows: TokenRows): void =>
  rows.lengths.forEach((length, row) => (cache.lengths[row]! += length))

/** Where each new token goes; `tokens` are their flat positions, undefined where there is no padding. */
const cacheSlots = (cache: KeyValueCache, rows: TokenRows) => {
  if (rows.starts.length !== cache.rows) {
    throw new RangeError(`${rows.starts.length} rows of new tokens for a cache of ${cache.rows}`)
  }
  const slots: Array<number> = []
  const tokens: Array<number> = []
  rows.lengths.forEach((length, row) => {
    const held = cache.lengths[row]!
    if (held + length > cache.capacity) {
      throw new RangeError(`row ${row} holds ${held} tokens, ${length} more exceed the capacity of ${cache.capacity}`)
    }
    for (let i = 0; i < length; i++) {
      slots.push(row * cache.capacity + held + i)
      tokens.push(rows.starts[row]! + i)
    }
  })
  const all = tokens.length === rows.tokens.length
  return { slots: Int32Array.from(slots), tokens: all ? undefined : Int32Array.from(tokens) }
}
