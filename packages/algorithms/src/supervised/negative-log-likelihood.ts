import type { ScoredRows } from "@plumbline/data"
import type { CausalLM } from "@plumbline/models"
import { sumByRow } from "@plumbline/numerics"
import type { MicroBatch, Objective } from "@plumbline/training"
import { nll, type TokenLoss } from "./token-loss.ts"

export interface SupervisedBatch extends MicroBatch {
  readonly rows: ScoredRows
}

/**
 * A loss of the scored tokens, every token of the global batch weighing the same:
 *
 *   L = Σ_rows Σ_t loss(log π(y_t | y_<t)) / tokens
 */
export const supervisedObjective = ({
  perToken
}: TokenLoss): Objective<{ readonly policy: CausalLM }, SupervisedBatch> => ({
  counts: ({ rows }) => ({ token: rows.scored.targets.length }),
  loss: ({ policy }, { origins, rows }) => {
    const { correct, entropy, logProbs } = policy.tokenLogProbs(rows)
    const perRow = (values: typeof logProbs) => ({
      unit: "token",
      values: sumByRow(values, rows.scored.rows, origins.length)
    })
    return {
      terms: [perRow(perToken(logProbs))],
      metrics: { entropy: perRow(entropy), mean_token_accuracy: perRow(correct) }
    }
  }
})

/** The negative log-likelihood of the scored tokens, a mean over the tokens of the global batch. */
export const negativeLogLikelihood = supervisedObjective(nll)
