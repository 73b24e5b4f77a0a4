import type { TokenRows } from "@plumbline/data"
import type { ScalarModel } from "@plumbline/models"
import { tf, type Tensor1D } from "@plumbline/runtime"
import type { MicroBatch, Objective } from "@plumbline/training"
import { type AttributeWeights, weightedScores } from "../attribute-weights.ts"
import type { PairwiseLoss } from "./pairwise-loss.ts"

/** P pairs as 2·P rows: the chosen responses first, then the rejected ones in the same order. */
export interface ScoredPairs extends MicroBatch {
  readonly pairs: number
  readonly rows: TokenRows
  /** [P] float32, as in `PairScores` */
  readonly margins: Float32Array
  readonly strengths: Float32Array
}

/**
 * A pairwise loss as an objective: the mean over pairs.
 *
 * @param weights of a head with several attributes, whose weighted sum is the score
 */
export const pairwiseObjective = (
  loss: PairwiseLoss,
  weights?: AttributeWeights
): Objective<{ readonly reward: ScalarModel }, ScoredPairs> => ({
  counts: ({ pairs }) => ({ pair: pairs }),
  loss: ({ reward }, { margins, pairs, rows, strengths }) => {
    const scores = weightedScores(reward.head, reward.rowScores(rows), weights)
    const chosen = tf.slice(scores, 0, pairs)
    const rejected = tf.slice(scores, pairs, pairs)
    const losses = loss.perPair({
      chosen,
      rejected,
      margins: tf.tensor1d(margins),
      strengths: tf.tensor1d(strengths)
    })
    return { terms: [pair(losses)], metrics: scoreMetrics(chosen, rejected) }
  }
})

const pair = (values: Tensor1D) => ({ unit: "pair", values })

/** Strict: equal scores are no right order. */
const scoreMetrics = (chosen: Tensor1D, rejected: Tensor1D) => ({
  accuracy: pair(tf.cast(tf.greater(chosen, rejected), "float32")),
  margin: pair(tf.sub(chosen, rejected)),
  mean_reward: pair(tf.mul(0.5, tf.add(chosen, rejected))),
  min_reward: { ...pair(tf.minimum(chosen, rejected)), extreme: "least" as const },
  max_reward: { ...pair(tf.maximum(chosen, rejected)), extreme: "greatest" as const },
  "rewards/chosen": pair(chosen),
  "rewards/rejected": pair(rejected)
})
