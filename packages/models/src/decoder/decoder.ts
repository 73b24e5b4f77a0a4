import {
  attention,
  embedding,
  gatherRows,
  recomputed,
  rotaryAngles,
  rotaryAttention,
  rotaryHeads,
  type RotaryAngles,
  type Tensor1D,
  type Tensor2D,
  tf
} from "@plumbline/runtime"
import type { TokenRows } from "@plumbline/data"
import type { DecoderConfig } from "../config/decoder-config.ts"
import { askedTokens } from "./asked-tokens.ts"
import { type Attend, attentionLayer } from "./attention-layer.ts"
import {
  attendThroughCache,
  type CachedRows,
  createKeyValueCache,
  type KeyValueCache,
  writeHeads
} from "./key-value-cache.ts"
import { recordedStart, type StepShape } from "./recorded-step.ts"
import type { NormedSum } from "./norm.ts"
import { plainRows, type Prefix, prefixRows } from "./prefix.ts"
import { blockPlace, EMBEDDING_PLACE } from "../processes/places.ts"
import { type Shards, within } from "../processes/shards.ts"
import type { Weights } from "./weights.ts"

/** Embeddings, blocks and final norm; what a head sits on. All functions are synchronous and leak no tensor. */
export interface Decoder {
  readonly config: DecoderConfig
  /** [N, D] after the final norm; differentiable. Tokens outside the rows are padding: their states mean nothing. */
  readonly hiddenStates: (rows: TokenRows) => Tensor2D
  readonly createCache: (pages: number, pageSize: number) => KeyValueCache
  /**
   * Feeds new tokens, which the cache then holds; not differentiable.
   *
   * @param index [M] flat positions
   * @returns     [M, D] hidden states there
   */
  readonly step: (rows: CachedRows, cache: KeyValueCache, index: Int32Array) => Tensor2D
  /**
   * Writes the keys and values of what stands before every row into pages of the cache, which rows then begin with.
   *
   * @param pages in the order of its places
   */
  readonly fillPrefix: (cache: KeyValueCache, pages: Int32Array) => void
  /** The same of one token a row, all of whose numbers are in a tensor: what is recorded. */
  readonly recordedStep: (numbers: Tensor1D, shape: StepShape, cache: KeyValueCache) => Tensor2D
}

export interface DecoderOptions {
  /** Whether gradients of the hidden states compute each block again from its input; false when absent. */
  readonly recomputing?: boolean | undefined
  /** What stands before the tokens of every row; nothing when absent. */
  readonly prefix?: Prefix | undefined
  /** Which parameters several processes have in parts; none when absent. */
  readonly shards?: Shards | undefined
}

export const decoder = (
  config: DecoderConfig,
  weights: Weights,
  { prefix, recomputing = false, shards }: DecoderOptions = {}
): Decoder => {
  const { windows } = config
  const scale = 1 / Math.sqrt(config.headWidth)
  return {
    config,
    hiddenStates: (rows) => {
      const { enter, extend, keys, leave, rows: queries } = prefix?.before(rows) ?? plainRows(rows)
      const seen = weights.forRows?.(queries) ?? weights
      const start = startOf(config, seen, rows, queries.positions)
      const states = forward(config, seen, () => entered(start(), enter), {
        attend: (layer, heads, angles) => {
          const options = { queries, keys, scale, window: windows[layer] }
          if (extend === undefined) return rotaryAttention(heads, angles, options)
          const { q, ...own } = rotaryHeads(heads, angles)
          const { k, v } = extend(layer, own)
          return attention(q, k, v, options)
        },
        run: recomputing ? remade : taped,
        shards
      })
      return leave(states)
    },
    createCache: (pages, pageSize) => createKeyValueCache(config, pages, pageSize),
    step: (rows, cache, index) =>
      tf.tidy(() => {
        const asked = askedTokens(rows, index)
        const attend = attendThroughCache({ scale, windows }, cache, rows, asked)
        const start = startOf(config, weights, rows, rows.positions)
        const states = forward(config, weights, start, { attend, asked: asked?.tokens, run: taped })
        return gatherRows(states, asked?.index ?? index)
      }),
    fillPrefix: (cache, pages) => {
      if (prefix === undefined) return
      const { keysValues, length, states } = prefix
      const rows = prefixRows(pages, length)
      if (keysValues !== undefined) return writeHeads(cache, rows, keysValues)
      tf.tidy(() => {
        const attend = attendThroughCache({ scale, windows }, cache, rows)
        // a handle of its own: the first block lets go of what it is given, and these may be a variable
        const start = () => ({ x: tf.clone(states!()), angles: anglesOf(config, rows.positions) })
        forward(config, weights, start, { attend, run: taped })
      })
    },
    recordedStep: (numbers, shape, cache) => {
      const { angles, attend, x } = recordedStart(config, weights, numbers, shape, cache)
      return forward(config, weights, () => ({ x, angles }), { attend, isRecorded: true, run: taped })
    }
  }
}

/** The residual stream: its value is x, plus an addend that the next norm is to add. */
type Residual = {
  readonly x: Tensor2D
  readonly addend?: Tensor2D | undefined
}

type Block = (stream: Residual, angles: RotaryAngles) => Residual

/** What differs between the ways through the blocks. */
interface Pass {
  readonly attend: Attend
  /** [M] ascending flat positions of the states that go through the last block behind its keys and values; all when absent. */
  readonly asked?: Int32Array | undefined
  /** Whether the pass is recorded, to run again on other values; false when absent. */
  readonly isRecorded?: boolean
  /** Which parameters are there only while they are read; none when absent. */
  readonly shards?: Shards | undefined
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
interface Started {
  readonly x: Tensor2D
  readonly angles: RotaryAngles
}

/** @param positions of the states that go through the blocks */
const startOf =
  (config: DecoderConfig, weights: Weights, { tokens }: TokenRows, positions: Int32Array) =>
  (): Started => ({
    x: embedding(weights.tensor(`${config.family.names.embedding}.weight`) as Tensor2D, tokens),
    angles: anglesOf(config, positions)
  })

const anglesOf = ({ rope }: DecoderConfig, positions: Int32Array): RotaryAngles =>
  rotaryAngles(positions, rope.inverseFrequencies, rope.scale)

const entered = ({ angles, x }: Started, enter: (x: Tensor2D) => Tensor2D): Started => ({ angles, x: enter(x) })

const forward = (config: DecoderConfig, weights: Weights, start: () => Started, pass: Pass): Tensor2D => {
  const { family, layers } = config
  return tf.tidy(() => {
    pass.shards?.enter(EMBEDDING_PLACE)
    const { angles, x } = start()
    let stream: Residual = { x }
    for (let layer = 0; layer < layers; layer++) {
      const before = stream
      const body: Block = (state, turn) =>
        within(pass.shards, blockPlace(layer), () => block(config, weights, layer, state, turn, pass))
      stream = pass.run(body, before, angles)
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
  { asked, attend, isRecorded = false }: Pass
): Residual => {
  const {
    family: { names },
    mlps
  } = config
  const prefix = names.layer(layer)
  const before = normed(config, weights, `${prefix}.${names.attentionNorm}`, stream)
  const attended = attentionLayer(config, weights, layer, before.normed, angles, attend)
  const x = asked === undefined || layer < config.layers - 1 ? before.sum : gatherRows(before.sum, asked)
  const between = normed(config, weights, `${prefix}.${names.mlpNorm}`, { x, addend: attended })
  return {
    x: between.sum,
    addend: mlps[layer]!.apply(weights, `${prefix}.${names.mlp}`, between.normed, { isRecorded })
  }
}
