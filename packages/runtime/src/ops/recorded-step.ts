import { CACHE_HEADS, DECODE_ATTENTION, fused, hasKernel, LOOK_UP } from "../kernels/names.ts"
import type { Tensor1D, Tensor2D, Tensor3D } from "../tf.ts"
import { canRecord } from "./recording.ts"
import type { Heads, RotaryAngles } from "./rotary.ts"

// Operations of a step that is recorded once and replayed: one new token a row, and every number that says which and where
// in a tensor. Backends that cannot record have none of them; ask `canRecordSteps` first. Not differentiable.

export const canRecordSteps = (): boolean => canRecord() && [LOOK_UP, CACHE_HEADS, DECODE_ATTENTION].every(hasKernel)

/** Rows of `weight` [V, D] whose ids, [N] int32, are on the device and known to be in range: [N, D]. */
export const lookUp = (weight: Tensor2D, ids: Tensor1D): Tensor2D => fused(LOOK_UP, { weight, ids })

/** The keys and values of a layer: [slots, K, d] each. */
export interface CacheLayer {
  readonly keys: Tensor3D
  readonly values: Tensor3D
}

/** Where the new tokens stand: [N] int32 each. A slot below 0 is not written. */
export interface NewTokens {
  readonly positions: Tensor1D
  readonly slots: Tensor1D
}

/**
 * Rotates the heads of new tokens and writes keys and values into the cache, in place.
 *
 * @param table cosine and sine of every position, [P, R/2]
 * @returns     [N, H, d] the rotated queries
 */
export const cacheHeads = (
  heads: Heads,
  table: RotaryAngles,
  { positions, slots }: NewTokens,
  layer: CacheLayer
): Tensor3D => fused(CACHE_HEADS, { ...heads, ...table, positions, slots, ...layer })

export interface DecodeOptions {
  readonly pageSize: number
  readonly scale: number
  readonly window?: number | undefined
  readonly softCap?: number | undefined
}

/**
 * `pagedAttention` of rows with one query each.
 *
 * @param table [R, W] int32 pages of each row
 * @param spans [3, R] int32: the row's query, its number of queries (1, or 0 for a row to leave out), its keys
 */
export const decodeAttention = (
  q: Tensor3D,
  layer: CacheLayer,
  table: Tensor2D,
  spans: Tensor2D,
  options: DecodeOptions
): Tensor3D => fused(DECODE_ATTENTION, { q, ...layer, table, spans }, { ...options })
