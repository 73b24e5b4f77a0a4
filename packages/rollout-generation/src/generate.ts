import type { TokenRows } from "@plumbline/data"
import type { CausalLM, KeyValueCache } from "@plumbline/models"
import { philoxStream, type RandomStream, tf } from "@plumbline/runtime"
import { sampleToken, type SamplingOptions } from "./sampling.ts"

export interface GenerateOptions extends SamplingOptions {
  readonly maxNewTokens: number
  /** Row i draws from the stream `generate/i`: its sample does not depend on the other rows. */
  readonly seed: number
  /** Tokens that end a response; they are part of it. */
  readonly stopIds: ReadonlyArray<number>
  /** Rows decoded at a time; 64 when absent. Changes memory, never a sample. */
  readonly batchSize?: number
  /** Called as rows are finished, with their number so far. */
  readonly onProgress?: (finished: number) => void
}

export interface Response {
  /** [L] int32, the stop token included */
  readonly responseIds: Int32Array
  /** [L] float32, nats: log π of each token under the policy itself (temperature 1, nothing filtered) */
  readonly logProbs: Float32Array
  /** "length" when `maxNewTokens` or the model's context ended it */
  readonly finishReason: "stop" | "length"
}

/**
 * Samples one response to each prompt with a key-value cache, batch by batch.
 *
 * Token ids in, token ids out. A response ends at a stop token, after `maxNewTokens`, or where the model's
 * context is full.
 *
 * @param prompts each [T] int32, 1 ≤ T
 */
export const generate = (
  model: CausalLM,
  prompts: ReadonlyArray<Int32Array>,
  options: GenerateOptions
): ReadonlyArray<Response> => {
  const size = options.batchSize ?? 64
  const responses: Array<Response> = []
  for (let first = 0; first < prompts.length; first += size) {
    const batch = prompts.slice(first, first + size)
    responses.push(...decodeBatch(model, batch, options, (row) => streamOf(options.seed, first + row)))
    options.onProgress?.(responses.length)
  }
  return responses
}

const streamOf = (seed: number, row: number): RandomStream => philoxStream(seed, `generate/${row}`)

interface Decoding {
  readonly ids: Array<number>
  readonly logProbs: Array<number>
  finishReason: Response["finishReason"] | undefined
}

const decodeBatch = (
  model: CausalLM,
  prompts: ReadonlyArray<Int32Array>,
  options: GenerateOptions,
  stream: (row: number) => RandomStream
): ReadonlyArray<Response> => {
  const rooms = prompts.map((prompt) => Math.min(options.maxNewTokens, model.config.maxPositions - prompt.length))
  const capacity = prompts.reduce((most, prompt, row) => Math.max(most, prompt.length + Math.max(rooms[row]!, 0)), 0)
  const rows = prompts.map((_, row): Decoding => ({
    ids: [],
    logProbs: [],
    finishReason: rooms[row]! <= 0 ? "length" : undefined
  }))
  const streams = prompts.map((_, row) => stream(row))
  const cache = model.createCache(prompts.length, capacity)
  try {
    let fresh = prompts.map((prompt, row) => (rows[row]!.finishReason === undefined ? prompt : new Int32Array(0)))
    while (rows.some(({ finishReason }) => finishReason === undefined)) {
      const logits = nextLogits(model, cache, fresh, prompts, rows)
      fresh = rows.map((row, r) => advance(row, logits[r], rooms[r]!, streams[r]!, options))
    }
  } finally {
    cache.dispose()
  }
  return rows.map(({ finishReason, ids, logProbs }) => ({
    responseIds: Int32Array.from(ids),
    logProbs: Float32Array.from(logProbs),
    finishReason: finishReason!
  }))
}

/** Takes the next token of a row; @returns the tokens that the next step feeds: that one, or none when finished. */
const advance = (
  row: Decoding,
  logits: Float32Array | undefined,
  room: number,
  stream: RandomStream,
  options: GenerateOptions
): Int32Array => {
  if (row.finishReason !== undefined || logits === undefined) return new Int32Array(0)
  const { id, logProb } = sampleToken(logits, options, stream.uniform(row.ids.length))
  row.ids.push(id)
  row.logProbs.push(logProb)
  if (options.stopIds.includes(id)) row.finishReason = "stop"
  else if (row.ids.length === room) row.finishReason = "length"
  return row.finishReason === undefined ? Int32Array.of(id) : new Int32Array(0)
}

/** Feeds each row's new tokens; @returns the logits after the last of them, nothing for rows without any. */
const nextLogits = (
  model: CausalLM,
  cache: KeyValueCache,
  fresh: ReadonlyArray<Int32Array>,
  prompts: ReadonlyArray<Int32Array>,
  rows: ReadonlyArray<Decoding>
): ReadonlyArray<Float32Array | undefined> => {
  const fed = fresh.map((tokens, r) => prompts[r]!.length + rows[r]!.ids.length - tokens.length)
  const batch = newTokens(fresh, fed)
  const index = Int32Array.from(
    fresh.flatMap((tokens, r) => (tokens.length > 0 ? [batch.starts[r]! + tokens.length - 1] : []))
  )
  const values = tf.tidy(() => model.step(batch, cache, index).dataSync() as Float32Array)
  const width = values.length / index.length
  let next = 0
  return fresh.map((tokens) => (tokens.length > 0 ? values.subarray(next * width, ++next * width) : undefined))
}

/** Rows of new tokens laid end to end; row r's first one has position `positions[r]`. */
const newTokens = (fresh: ReadonlyArray<Int32Array>, positions: ReadonlyArray<number>): TokenRows => {
  const lengths = Int32Array.from(fresh, (tokens) => tokens.length)
  const starts = new Int32Array(fresh.length)
  for (let r = 1; r < fresh.length; r++) starts[r] = starts[r - 1]! + lengths[r - 1]!
  return {
    tokens: Int32Array.from(fresh.flatMap((tokens) => [...tokens])),
    positions: Int32Array.from(fresh.flatMap((tokens, r) => Array.from(tokens, (_, t) => positions[r]! + t))),
    starts,
    lengths
  }
}
