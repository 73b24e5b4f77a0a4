import { attention, embedding, rotaryAngles, type RotaryAngles, type Tensor2D, tf } from "@plumbline/runtime"
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

export const decoder = (config: DecoderConfig, weights: Weights): Decoder => {
  const { windows } = config
  const scale = 1 / Math.sqrt(config.headWidth)
  return {
    config,
    hiddenStates: (rows) =>
      forward(config, weights, rows, (layer, q, k, v) =>
        attention(q, k, v, { queries: rows, keys: rows, scale, window: windows[layer] })
      ),
    createCache: (rows, capacity) => createKeyValueCache(config, rows, capacity),
    step: (rows, cache) => {
      const states = forward(config, weights, rows, attendThroughCache({ scale, windows }, cache, rows))
      advance(cache, rows)
      return states
    }
  }
}

const forward = (config: DecoderConfig, weights: Weights, rows: TokenRows, attend: Attend): Tensor2D => {
  const { family, layers, normEpsilon, rope } = config
  return tf.tidy(() => {
    const angles = rotaryAngles(rows.positions, rope.inverseFrequencies, rope.scale)
    let x = embedding(weights.tensor(`${family.names.embedding}.weight`) as Tensor2D, rows.tokens)
    for (let layer = 0; layer < layers; layer++) {
      const input = x
      x = tf.tidy(() => block(config, weights, layer, input, angles, attend))
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
