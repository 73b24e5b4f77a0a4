import { decoder, type DecoderConfig, keyValuePrefix } from "@plumbline/models"
import { type Tensor2D, type Tensor3D, tf } from "@plumbline/runtime"
import type { Adaptable } from "../targets.ts"
import type { AdapterMethod, Found } from "../method.ts"
import { type VirtualTokenKind, type VirtualTokenOptions, virtualTokens } from "./virtual-tokens.ts"

const kind: VirtualTokenKind = {
  name: "prefix tuning",
  peftType: "PREFIX_TUNING",
  fields: (config) => ({
    token_dim: keyWidth(config),
    num_attention_heads: config.keyValueHeads,
    num_layers: config.layers,
    encoder_hidden_size: keyWidth(config),
    prefix_projection: false
  }),
  width: (config) => config.layers * 2 * keyWidth(config),
  ofTokens: (model, ids) => keysValuesOf(model, ids),
  prefix: (config, stored, tokens) => keyValuePrefix((layer) => ofLayer(config, stored, tokens, layer), tokens)
}

/**
 * Learnt keys and values [V, K, d] of every layer before those of every row, without the paper's second network that
 * makes them while they are trained; stored as PEFT does, [V, layers · 2 · K · d]. Tokens' positions begin behind them.
 *
 * @see Li & Liang 2021, https://arxiv.org/abs/2101.00190
 */
export const prefixTuning = (options: VirtualTokenOptions): AdapterMethod => virtualTokens(kind, options)

/** Numbers of a token's keys in a layer. */
const keyWidth = ({ headWidth, keyValueHeads }: DecoderConfig): number => headWidth * keyValueHeads

const ofLayer = (config: DecoderConfig, stored: Found, tokens: number, layer: number) => {
  const { headWidth, keyValueHeads } = config
  const width = keyWidth(config)
  const part = (i: number) => {
    const values = tf.slice(stored("prompt_embeddings") as Tensor2D, [0, (2 * layer + i) * width], [tokens, width])
    return tf.reshape(values, [tokens, keyValueHeads, headWidth]) as Tensor3D
  }
  return { k: part(0), v: part(1) }
}

/** The model's own keys and values of a text, which the paper found to be a better start than noise (§7.4). */
const keysValuesOf = ({ config, weights }: Adaptable, ids: Int32Array): Float32Array => {
  const body = decoder(config, weights)
  const cache = body.createCache(1, ids.length)
  const rows = {
    tokens: ids,
    positions: ids.map((_, t) => t),
    starts: Int32Array.of(0),
    lengths: Int32Array.of(ids.length),
    table: Int32Array.of(0),
    width: 1,
    held: Int32Array.of(0)
  }
  body.step(rows, cache, Int32Array.of(ids.length - 1)).dispose()
  const width = keyWidth(config)
  const values = new Float32Array(ids.length * config.layers * 2 * width)
  cache.layers.forEach(({ keys, values: held }, layer) =>
    [keys, held].forEach((tensor, i) => {
      const numbers = tensor.dataSync()
      for (let t = 0; t < ids.length; t++) {
        const place = ((t * config.layers + layer) * 2 + i) * width
        values.set(numbers.subarray(t * width, (t + 1) * width), place)
      }
    })
  )
  cache.dispose()
  return values
}
