import {
  cacheHeads,
  canRecordSteps,
  computesOnItsOwn,
  decodeAttention,
  lookUp,
  replayed,
  type RotaryAngles,
  rotaryAngles,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  tf,
  timesMoved
} from "@plumbline/runtime"
import type { DecoderConfig } from "../config/decoder-config.ts"
import type { Attend } from "./attention-layer.ts"
import type { CachedRows, DrawnTokens, KeyValueCache, Recording } from "./key-value-cache.ts"
import type { Weights } from "./weights.ts"

/** Rows and pages a row that a recorded step has room for. */
export interface StepShape {
  readonly rows: number
  readonly width: number
}

/**
 * Whether a step can be recorded and replayed, and is faster so: every row has one new token, whose logits are wanted in
 * order, after others that an earlier step went through. Where a recorded mixture computes every expert that pays if the device
 * would have to wait for the host.
 */
export const isRecordable = (
  { mlps }: DecoderConfig,
  { held, lengths, tokens }: CachedRows,
  index: Int32Array
): boolean =>
  canRecordSteps() &&
  (computesOnItsOwn() || mlps.every(({ mixture }) => mixture === undefined)) &&
  lengths.length === tokens.length &&
  index.length === tokens.length &&
  lengths.every((length, row) => length === 1 && held[row]! > 0 && index[row] === row)

/** Numbers of rows that steps are recorded for: a batch is filled up to the next one. */
const roomFor = (rows: number): number => {
  if (rows <= 8) return 2 ** Math.ceil(Math.log2(rows))
  const grain = rows <= 64 ? 8 : rows <= 256 ? 32 : 64
  return Math.ceil(rows / grain) * grain
}

const shapeOf = ({ lengths, width }: CachedRows): StepShape => ({
  rows: roomFor(lengths.length),
  width: Math.max(8, 2 ** Math.ceil(Math.log2(width)))
})

/**
 * The step over a recording, which is made where there is none for as many rows and pages, or where the weights have moved.
 *
 * @param logits the step itself, [rows, V]
 * @param weights what the step reads its tensors from: each model that shares the cache has recordings of its own
 * @param read every tensor that it reads
 * @returns [N, V], until the next step
 */
export const replayStep = (
  rows: CachedRows,
  cache: KeyValueCache,
  weights: Weights,
  read: ReadonlyArray<Tensor>,
  logits: (numbers: Tensor1D, shape: StepShape) => Tensor2D
): Tensor2D => {
  const shape = shapeOf(rows)
  const key = `${shape.rows}x${shape.width}`
  const held = read.map(({ dataId }) => dataId)
  const recordings = cache.recordings.get(weights) ?? new Map<string, Recording>()
  cache.recordings.set(weights, recordings)
  let recording = recordings.get(key)
  const isStale = ({ moves, weights: before }: Recording) =>
    before.some((dataId, i) => dataId !== held[i]) || moves !== timesMoved(read)
  if (recording !== undefined && isStale(recording)) {
    recording.step.dispose()
    recording = undefined
  }
  if (recording === undefined) {
    const numbers = tf.tensor1d(numbersOf(rows, shape, cache), "int32")
    const step = replayed({ numbers: numbers as Tensor }, (inputs) => logits(inputs.numbers as Tensor1D, shape))
    // while it is recorded, copies are made and laid side by side
    recording = { step, weights: held, moves: timesMoved(read) }
    recordings.set(key, recording)
  }
  const known =
    rows.drawn === undefined ? undefined : ({ input: "numbers", offset: 0, values: tokensOf(rows.drawn) } as const)
  const output = recording.step.run({ numbers: numbersOf(rows, shape, cache) }, known) as Tensor2D
  return tf.slice(output, [0, 0], [rows.tokens.length, -1])
}

const tokensOf = ({ ids, source }: DrawnTokens): Tensor1D => {
  const same = source.length === ids.shape[0] && source.every((from, row) => from === row)
  return same ? ids : tf.gather(ids, tf.tensor1d(source, "int32"))
}

/** Tokens, positions, slots, spans [3, R] and table [R, W], end to end. Rows without a token have slot −1 and no query. */
const numbersOf = (rows: CachedRows, { rows: room, width }: StepShape, { pageSize }: KeyValueCache): Int32Array => {
  const numbers = new Int32Array(room * (6 + width))
  const part = (i: number) => numbers.subarray(i * room, (i + 1) * room)
  part(2).fill(-1)
  rows.tokens.forEach((token, row) => {
    const t = rows.held[row]!
    part(0)[row] = token
    part(1)[row] = rows.positions[row]!
    part(2)[row] = rows.table[row * rows.width + Math.floor(t / pageSize)]! * pageSize + (t % pageSize)
    part(3)[row] = row
    part(4)[row] = 1
    part(5)[row] = t + 1
    const pages = rows.table.subarray(row * rows.width, (row + 1) * rows.width)
    numbers.set(pages, 6 * room + row * width)
  })
  return numbers
}

/** The first block's input, and attention through the cache, of numbers in a tensor. */
export const recordedStart = (
  config: DecoderConfig,
  weights: Weights,
  numbers: Tensor1D,
  { rows, width }: StepShape,
  cache: KeyValueCache
): { readonly x: Tensor2D; readonly angles: RotaryAngles; readonly attend: Attend } => {
  const part = (i: number) => tf.slice(numbers, [i * rows], [rows])
  const spans = tf.reshape(tf.slice(numbers, [3 * rows], [3 * rows]), [3, rows]) as Tensor2D
  const table = tf.reshape(tf.slice(numbers, [6 * rows], [rows * width]), [rows, width]) as Tensor2D
  const tokens = { positions: part(1), slots: part(2) }
  const options = { pageSize: cache.pageSize, scale: 1 / Math.sqrt(config.headWidth) }
  return {
    x: lookUp(weights.tensor(`${config.family.names.embedding}.weight`) as Tensor2D, part(0)),
    angles: angleTables(config, cache),
    attend: (layer, heads, angles) => {
      const held = cache.layers[layer]!
      const q = cacheHeads(heads, angles, tokens, held)
      return decodeAttention(q, held, table, spans, { ...options, window: config.windows[layer] })
    }
  }
}

/** Cosine and sine of every position; the cache owns them. */
const angleTables = ({ maxPositions, rope }: DecoderConfig, cache: KeyValueCache): RotaryAngles => {
  if (cache.angles === undefined) {
    const positions = Int32Array.from({ length: maxPositions }, (_, position) => position)
    const { cos, sin } = rotaryAngles(positions, rope.inverseFrequencies, rope.scale)
    cache.angles = { cos: tf.keep(cos), sin: tf.keep(sin) }
  }
  return cache.angles
}
