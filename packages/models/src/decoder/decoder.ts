import {
  attention,
  embedding,
  recomputed,
  rotaryAngles,
  type RotaryAngles,
  type Tensor2D,
  tf
} from "@plumbline/runtime"
import type { TokenRows } from "@plumbline/data"
import type { DecoderConfig } from "../config/decoder-config.ts"
import { type Attend, attentionLayer } from "./attention-layer.ts"
import { advance, attendThroughCache, createKeyValueCache, type KeyValueCache } from "./key-value-cache.ts"
import type { Weights } from "./weights.ts"

/** Embeddings, blocks and final norm; what a head sits on. All functions are synchronous and leak no tensor. */
export interface Decoder {
  readonly config: DecoderConfig
  /** [N, D] after the final norm; differentiable. Tokens outside the rows are padding: their states mean nothing. */
  readonly hiddenStates: (rows: TokenRows) => Tensor2D
  readonly createCache: (rows: number, capacity: number) => KeyValueCache
  /** Hidden states of new tokens, [N, D], which the cache then holds; not differentiable. */
  readonly step: (rows: TokenRows, cache: KeyValueCache) => Tensor2D
}

export interface DecoderOptions {
  /** Whether gradients of the hidden states compute each block again from its input; false when absent. */
  readonly recomputing?: boolean | undefined
}

export const decoder = (
  config: DecoderConfig,
  weights: Weights,
  { recomputing = false }: DecoderOptions = {}
): Decoder => {
  const { windows } = config
  const scale = 1 / Math.sqrt(config.headWidth)
  return {
    config,
    hiddenStates: (rows) =>
      forward(config, weights, rows, {
        attend: (layer, q, k, v) => attention(q, k, v, { queries: rows, keys: rows, scale, window: windows[layer] }),
        run: recomputing ? recomputed : taped
      }),
    createCache: (rows, capacity) => createKeyValueCache(config, rows, capacity),
    step: (rows, cache) => {
      const states = forward(config, weights, rows, {
        attend: attendThroughCache({ scale, windows }, cache, rows),
        run: taped
      })
      advance(cache, rows)
      return states
    }
  }
}

type BlockBody = (x: Tensor2D, cos: Tensor2D, sin: Tensor2D) => Tensor2D

/** What differs between the ways through the blocks. */
interface Pass {
  readonly attend: Attend
  /** Runs one block. */
  readonly run: (body: BlockBody, ...inputs: Parameters<BlockBody>) => Tensor2D
}

/** The tape keeps what each operation of the block needs for its gradient. */
const taped: Pass["run"] = (body, ...inputs) => tf.tidy(() => body(...inputs))

const forward = (config: DecoderConfig, weights: Weights, rows: TokenRows, { attend, run }: Pass): Tensor2D => {
  const { family, layers, normEpsilon, rope } = config
  return tf.tidy(() => {
    const { cos, sin } = rotaryAngles(rows.positions, rope.inverseFrequencies, rope.scale)
    let x = embedding(weights.tensor(`${family.names.embedding}.weight`) as Tensor2D, rows.tokens)
    for (let layer = 0; layer < layers; layer++) {
      const input = x
      x = run((states, c, s) => block(config, weights, layer, states, { cos: c, sin: s }, attend), input, cos, sin)
      input.dispose()
    }
    return family.norm.apply(weights, family.names.finalNorm, x, normEpsilon)
  })
}

/** x + attention(norm(x)), then + mlp(norm(x)): [N, D] → [N, D]. */
const block = (
  config: DecoderConfig,
  weights: Weights,
  layer: number,
  x: Tensor2D,
  angles: RotaryAngles,
  attend: Attend
): Tensor2D => {
  const { family, mlp, normEpsilon } = config
  const { names, norm } = family
  const prefix = names.layer(layer)
  const normed = norm.apply(weights, `${prefix}.${names.attentionNorm}`, x, normEpsilon)
  const attended = tf.add(x, attentionLayer(config, weights, layer, normed, angles, attend)) as Tensor2D
  const normedAgain = norm.apply(weights, `${prefix}.${names.mlpNorm}`, attended, normEpsilon)
  return tf.add(attended, mlp.apply(weights, `${prefix}.${names.mlp}`, normedAgain)) as Tensor2D
}
