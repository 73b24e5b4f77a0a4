import type { CausalLM } from "@plumbline/models"
import { sumByRow } from "@plumbline/numerics"
import { tf, type Tensor1D } from "@plumbline/runtime"
import { coupledObjective, type LossSums, type Objective } from "@plumbline/training"
import { onPolicyWeights } from "./on-policy-weights.ts"
import { type PairBatch, sideLengths } from "./pair-batch.ts"
import { type LinearLoss, linearLoss, pairCoupling } from "./pair-coupling.ts"
import { pairConstants, pairLogProbs, responseSums } from "./pair-log-probs.ts"
import type { PairLogProbs, PreferenceLoss } from "./preference-loss.ts"

type Models = { readonly policy: CausalLM }

/** The loss of pairs as an objective; log-probs of a response are sums over its scored tokens. */
export const preferenceObjective = (loss: PreferenceLoss): Objective<Models, PairBatch> =>
  loss.coupled === true
    ? coupledObjective({
        counts: pairCounts,
        coupling: pairCoupling(loss),
        loss: (models, batch, linear: LinearLoss) =>
          pairSums(loss, models, batch, ({ policyChosen, policyRejected }) =>
            linearLoss(linear, policyChosen, policyRejected)
          )
      })
    : { counts: pairCounts, loss: (models, batch) => pairSums(loss, models, batch, loss.perPair) }

const pairCounts = ({ pairs, rows, units }: PairBatch) => ({
  pair: pairs,
  token: rows.scored.targets.length,
  "chosen token": sideLengths(units, "chosen").reduce((total, length) => total + length, 0)
})

const pairSums = (
  loss: PreferenceLoss,
  { policy }: Models,
  batch: PairBatch,
  perPair: (pairs: PairLogProbs) => Tensor1D
): LossSums => {
  const { pairs, rows } = batch
  const scored = policy.tokenLogProbs(rows, { collision: loss.onPolicyWeights === true })
  const byResponse = (values: Tensor1D) => sumByRow(values, rows.scored.rows, 2 * pairs)
  const chosenOf = (values: Tensor1D) => tf.slice(values, 0, pairs)
  const rejectedOf = (values: Tensor1D) => tf.slice(values, pairs, pairs)
  const responses = responseSums(scored.logProbs, batch)
  const seen = pairLogProbs(chosenOf(responses), rejectedOf(responses), pairConstants(batch))
  const losses = perPair(seen)
  const weights = onPolicyWeights(scored, batch)
  const pair = (values: Tensor1D) => ({ unit: "pair", values })
  const entropies = byResponse(scored.entropy)
  return {
    terms: [
      pair(weights === undefined ? losses : tf.mul(losses, weights)),
      ...chosenNll(loss.crossEntropyWeight ?? 0, () => chosenOf(byResponse(scored.logProbs)))
    ],
    metrics: {
      ...rewardMetrics(loss.beta, seen),
      entropy: { unit: "token", values: tf.add(chosenOf(entropies), rejectedOf(entropies)) },
      mean_token_accuracy: { unit: "chosen token", values: chosenOf(byResponse(scored.correct)) }
    }
  }
}

const rewardMetrics = (beta: number, { chosen, policyChosen, policyRejected, rejected }: PairLogProbs) => {
  const pair = (values: Tensor1D) => ({ unit: "pair", values })
  return {
    "rewards/chosen": pair(tf.mul(beta, chosen)),
    "rewards/rejected": pair(tf.mul(beta, rejected)),
    "rewards/margins": pair(tf.mul(beta, tf.sub(chosen, rejected))),
    "rewards/accuracies": pair(tf.cast(tf.greater(chosen, rejected), "float32")),
    "logps/chosen": pair(policyChosen),
    "logps/rejected": pair(policyRejected)
  }
}

const chosenNll = (weight: number, chosenLogProbs: () => Tensor1D) =>
  weight === 0 ? [] : [{ unit: "chosen token", values: tf.neg(chosenLogProbs()), weight }]
