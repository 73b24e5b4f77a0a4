import { collate, type CollateOptions, type ScoredRows } from "@plumbline/data"
import type { ScalarModel } from "@plumbline/models"
import { sumByRow } from "@plumbline/numerics"
import { tf, type Tensor1D } from "@plumbline/runtime"
import { joined, type MicroBatch, type Objective } from "@plumbline/training"
import type { CriticRow } from "./critic.ts"

export interface ValueBatch extends MicroBatch {
  readonly rows: ScoredRows
  /** [M] float32 each */
  readonly oldValues: Float32Array
  readonly returns: Float32Array
}

/**
 * What the critic minimises, over the tokens of all responses:
 *
 *   L = ½·max((V − R)², (clip(V, V_old ± c) − R)²)
 *
 * @param clipRange c; 0 does not clip
 * @see Schulman et al. 2017, as in OpenAI's baselines
 */
export const valueObjective = (clipRange: number): Objective<{ readonly critic: ScalarModel }, ValueBatch> => ({
  counts: ({ rows }) => ({ token: rows.scored.targets.length }),
  loss: ({ critic }, { oldValues, origins, returns, rows }) => {
    const values = tokenValues(critic, rows)
    const losses = valueLosses(values, oldValues, returns, clipRange)
    const perRow = (numbers: Tensor1D) => ({
      unit: "token",
      values: sumByRow(numbers, rows.scored.rows, origins.length)
    })
    return {
      terms: [perRow(losses)],
      metrics: {
        "values/mean": perRow(values),
        "values/error": perRow(tf.abs(tf.sub(values, tf.tensor1d(returns))))
      }
    }
  }
})

/** [M] float32: the first score of the state before each counted token. */
export const tokenValues = (critic: ScalarModel, rows: ScoredRows): Tensor1D =>
  tf.reshape(tf.slice(critic.tokenScores(rows, rows.scored.index), [0, 0], [-1, 1]), [-1])

export const valueLosses = (
  values: Tensor1D,
  oldValues: Float32Array,
  returns: Float32Array,
  clipRange: number
): Tensor1D => {
  const [old, wanted] = [tf.tensor1d(oldValues), tf.tensor1d(returns)]
  const plain = tf.square(tf.sub(values, wanted))
  if (clipRange === 0) return tf.mul(0.5, plain)
  const near = tf.add(old, tf.clipByValue(tf.sub(values, old), -clipRange, clipRange))
  return tf.mul<Tensor1D>(0.5, tf.maximum(plain, tf.square(tf.sub(near, wanted))))
}

export const valueBatch = (rows: ReadonlyArray<CriticRow>, layout: CollateOptions): ValueBatch => ({
  rows: collate(
    rows.map(({ row }) => row),
    layout
  ),
  tokens: rows.reduce((sum, { row }) => sum + row.ids.length, 0),
  origins: rows.map(({ origin }) => origin),
  oldValues: joined(rows.map(({ oldValues }) => oldValues)),
  returns: joined(rows.map(({ returns }) => returns))
})
