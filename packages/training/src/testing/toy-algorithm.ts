import { batchSampler, collate, type ScoredRows } from "@plumbline/data"
import { type CausalLM, createModel, llama } from "@plumbline/models"
import { tf, type Tensor1D } from "@plumbline/runtime"
import { Effect, Stream } from "effect"
import type { Algorithm } from "../algorithm.ts"
import { splitUnits, unitBatches } from "../batches.ts"
import type { MicroBatch } from "../objective.ts"

interface ToyBatch extends MicroBatch {
  readonly rows: ScoredRows
}

export interface ToyOptions {
  readonly microBatchSize?: number
  /** A row whose loss is NaN when the policy sees it. */
  readonly brokenRow?: number
  /** The last step that there is experience for. */
  readonly experienceEnds?: number
}

/** A one-layer Llama of eight tokens, the same at every call. */
export const toyModel = (): CausalLM =>
  createModel({ family: llama, vocabulary: 8, width: 8, layers: 1, heads: 2, mlpWidth: 8, maxPositions: 16 }, 3)

const units = Array.from({ length: 12 }, (_, i) => ({
  ids: Int32Array.from({ length: 3 + (i % 4) }, (_, t) => (i * 5 + t * t) % 8),
  tokens: 3 + (i % 4),
  origin: `toy.jsonl:${i + 1}`
}))

/** Next-token prediction on twelve short rows, four a step, shuffled. */
export const toyAlgorithm = (
  policy: CausalLM,
  { brokenRow, experienceEnds = Infinity, microBatchSize = 4 }: ToyOptions = {}
): Algorithm<{ readonly policy: CausalLM }, ToyBatch> => {
  const sampler = batchSampler({ rows: units.length, batchSize: 4, seed: 1, shuffle: true })
  const toBatch = (batch: ReadonlyArray<(typeof units)[number]>): ToyBatch => ({
    rows: collate(
      batch.map(({ ids }) => ({ ids, lossMask: new Uint8Array(ids.length).fill(1, 1) })),
      { layout: "packed", padId: 0 }
    ),
    tokens: batch.reduce((total, { tokens }) => total + tokens, 0),
    origins: batch.map(({ origin }) => origin)
  })
  const perRow = (batch: ToyBatch, values: Tensor1D): Tensor1D => {
    const sums = tf.unsortedSegmentSum(values, tf.tensor1d(batch.rows.scored.rows, "int32"), batch.origins.length)
    const broken = batch.origins.map((origin) => (origin === `toy.jsonl:${brokenRow}` ? NaN : 1))
    return tf.mul(sums as Tensor1D, tf.tensor1d(broken))
  }
  return {
    name: "toy",
    config: {},
    trainable: Effect.succeed({ policy }),
    stepsPerEpoch: Effect.succeed(sampler.stepsPerEpoch),
    experience: (position) =>
      unitBatches(units, sampler, { count: microBatchSize }, position).pipe(
        Stream.map((microBatches) => microBatches.map(toBatch)),
        Stream.take(experienceEnds - position)
      ),
    heldOut: Effect.succeed(splitUnits(units.slice(0, 5), { count: 2 }).map(toBatch)),
    objective: {
      counts: ({ rows }) => ({ token: rows.scored.targets.length }),
      loss: (models, batch) => {
        const { logProbs } = models.policy.tokenLogProbs(batch.rows)
        return { terms: [{ unit: "token", values: perRow(batch, tf.neg(logProbs)) }], metrics: {} }
      }
    }
  }
}
