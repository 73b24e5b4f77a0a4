import {
  attention,
  embedding,
  recomputed,
  rotaryAngles,
  rotaryHeads,
  type RotaryAngles,
  type Tensor1D,
  type Tensor2D,
  tf
} from "@plumbline/runtime"
import type { TokenRows } from "@plumbline/data"
import type { DecoderConfig } from "../config/decoder-config.ts"
import { type Attend, attentionLayer } from "./attention-layer.ts"
import { attendThroughCache, type CachedRows, createKeyValueCache, type KeyValueCache } from "./key-value-cache.ts"
import { recordedStart, type StepShape } from "./recorded-step.ts"
import type { NormedSum } from "./norm.ts"
import type { Weights } from "./weights.ts"

/** Embeddings, blocks and final norm; what a head sits on. All functions are synchronous and leak no tensor. */
export interface Decoder {
  readonly config: DecoderConfig
  /** [N, D] after the final norm; differentiable. Tokens outside the rows are padding: their states mean nothing. */
  readonly hiddenStates: (rows: TokenRows) => Tensor2D
  readonly createCache: (pages: number, pageSize: number) => KeyValueCache
  /** Hidden states of new tokens, [N, D], which the cache then holds; not differentiable. */
  readonly step: (rows: CachedRows, cache: KeyValueCache) => Tensor2D
  /** The same of one token a row, all of whose numbers are in a tensor: what is recorded. */
  readonly recordedStep: (numbers: Tensor1D, shape: StepShape, cache: KeyValueCache) => Tensor2D
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
    hiddenStates: (rows) => {
      const seen = weights.forRows?.(rows) ?? weights
      return forward(config, seen, startOf(config, seen, rows), {
        attend: (layer, heads, angles) => {
          const { k, q, v } = rotaryHeads(heads, angles)
          return attention(q, k, v, { queries: rows, keys: rows, scale, window: windows[layer] })
        },
        run: recomputing ? remade : taped
      })
    },
    createCache: (pages, pageSize) => createKeyValueCache(config, pages, pageSize),
    step: (rows, cache) =>
      tf.tidy(() => {
        const attend = attendThroughCache({ scale, windows }, cache, rows)
        return forward(config, weights, startOf(config, weights, rows), { attend, run: taped })
      }),
    recordedStep: (numbers, shape, cache) => {
      const { angles, attend, x } = recordedStart(config, weights, numbers, shape, cache)
      return forward(config, weights, () => ({ x, angles }), { attend, run: taped })
    }
  }
}

/** The residual stream: its value is x, plus an addend that the next norm is to add. */
interface Residual {
  readonly x: Tensor2D
  readonly addend?: Tensor2D
}

type Block = (stream: Residual, angles: RotaryAngles) => Residual

/** What differs between the ways through the blocks. */
interface Pass {
  readonly attend: Attend
  /** Runs one block. */
  readonly run: (block: Block, stream: Residual, angles: RotaryAngles) => Residual
}

/** The tape keeps what each operation of the block needs for its gradient. */
const taped: Pass["run"] = (body, stream, angles) => tf.tidy(() => ({ ...body(stream, angles) }))

/** The tape keeps the block's input, in one tensor. */
const remade: Pass["run"] = (body, { x }, { cos, sin }) => ({
  x: recomputed(
    (states: Tensor2D, c: Tensor2D, s: Tensor2D) => {
      const after = body({ x: states }, { cos: c, sin: s })
      return after.addend === undefined ? after.x : (tf.add(after.x, after.addend) as Tensor2D)
    },
    x,
    cos,
    sin
  )
})

/** What the first block is given. */
type Start = () => { readonly x: Tensor2D; readonly angles: RotaryAngles }

const startOf =
  ({ family: { names }, rope }: DecoderConfig, weights: Weights, { positions, tokens }: TokenRows): Start =>
  () => ({
    x: embedding(weights.tensor(`${names.embedding}.weight`) as Tensor2D, tokens),
    angles: rotaryAngles(positions, rope.inverseFrequencies, rope.scale)
  })

const forward = (config: DecoderConfig, weights: Weights, start: Start, { attend, run }: Pass): Tensor2D => {
  const { family, layers } = config
  return tf.tidy(() => {
    const { angles, x } = start()
    let stream: Residual = { x }
    for (let layer = 0; layer < layers; layer++) {
      const before = stream
      stream = run((state, turn) => block(config, weights, layer, state, turn, attend), before, angles)
      tf.dispose({ ...before })
    }
    return normed(config, weights, family.names.finalNorm, stream).normed
  })
}

/** The residual stream in one tensor, and its norm. */
const normed = (
  { family: { norm }, normEpsilon }: DecoderConfig,
  weights: Weights,
  name: string,
  { addend, x }: Residual
): NormedSum =>
  addend === undefined
    ? { sum: x, normed: norm.apply(weights, name, x, normEpsilon) }
    : norm.ofSum(weights, name, x, addend, normEpsilon)

/** x + attention(norm(x)), then + mlp(norm(x)): [N, D] → [N, D]. */
const block = (
  config: DecoderConfig,
  weights: Weights,
  layer: number,
  stream: Residual,
  angles: RotaryAngles,
  attend: Attend
): Residual => {
  const {
    family: { names },
    mlp
  } = config
  const prefix = names.layer(layer)
  const before = normed(config, weights, `${prefix}.${names.attentionNorm}`, stream)
  const attended = attentionLayer(config, weights, layer, before.normed, angles, attend)
  const between = normed(config, weights, `${prefix}.${names.mlpNorm}`, { x: before.sum, addend: attended })
  return { x: between.sum, addend: mlp.apply(weights, `${prefix}.${names.mlp}`, between.normed) }
}
