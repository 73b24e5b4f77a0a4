import type { ScoredRows } from "@plumbline/data"
import type { CausalLM } from "@plumbline/models"
import { sumByRow } from "@plumbline/numerics"
import { tf } from "@plumbline/runtime"
import type { MicroBatch, Objective } from "@plumbline/training"

export interface SupervisedBatch extends MicroBatch {
  readonly rows: ScoredRows
}

/**
 * Negative log-likelihood of the scored tokens, every token of the global batch weighing the same:
 *
 *   L = −Σ_rows Σ_t log π(y_t | y_<t) / tokens
 *
 * A uniform policy costs ln V.
 */
export const negativeLogLikelihood: Objective<{ readonly policy: CausalLM }, SupervisedBatch> = {
  counts: ({ rows }) => ({ token: rows.scored.targets.length }),
  loss: ({ policy }, { origins, rows }) => {
    const { correct, entropy, logProbs } = policy.tokenLogProbs(rows)
    const perRow = (values: typeof logProbs) => ({
      unit: "token",
      values: sumByRow(values, rows.scored.rows, origins.length)
    })
    return {
      terms: [perRow(tf.neg(logProbs))],
      metrics: { entropy: perRow(entropy), mean_token_accuracy: perRow(correct) }
    }
  }
}
