import type { CausalLM } from "@plumbline/models"
import { sumByRow } from "@plumbline/numerics"
import { tf, type Tensor1D } from "@plumbline/runtime"
import { type PairBatch, type ResponseRows, sideLengths } from "./pair-batch.ts"
import type { PairLogProbs } from "./preference-loss.ts"

/** [R] float32, nats: log-probs of the scored tokens by response, each counting its weight. */
export const responseSums = (
  logProbs: Tensor1D,
  { rows, tokenWeights }: Pick<ResponseRows, "rows" | "tokenWeights">
): Tensor1D => {
  const weighted = tokenWeights === undefined ? logProbs : tf.mul<Tensor1D>(logProbs, tf.tensor1d(tokenWeights))
  return sumByRow(weighted, rows.scored.rows, rows.starts.length)
}

/** [R] float32, nats: log-probs of the responses under a model. No gradient. */
export const responseLogProbs = (model: CausalLM, batch: Pick<ResponseRows, "rows" | "tokenWeights">): Float32Array =>
  tf.tidy(() => responseSums(model.tokenLogProbs(batch.rows).logProbs, batch).dataSync() as Float32Array)

/** What a loss needs of P pairs besides the policy's log-probs: [P] float32 each, host data. */
export interface PairConstants {
  readonly referenceChosen: Float32Array
  readonly referenceRejected: Float32Array
  readonly chosenLengths: Float32Array
  readonly rejectedLengths: Float32Array
  readonly rewardGaps: Float32Array
}

export const pairConstants = ({ pairs, referenceLogProbs, units }: PairBatch): PairConstants => ({
  referenceChosen: referenceLogProbs.subarray(0, pairs),
  referenceRejected: referenceLogProbs.subarray(pairs),
  chosenLengths: sideLengths(units, "chosen"),
  rejectedLengths: sideLengths(units, "rejected"),
  rewardGaps: Float32Array.from(
    units,
    ({ row: { chosenReward = NaN, rejectedReward = NaN } }) => chosenReward - rejectedReward
  )
})

/** What a loss sees, from log π of either side, [P] each. */
export const pairLogProbs = (
  policyChosen: Tensor1D,
  policyRejected: Tensor1D,
  constants: PairConstants
): PairLogProbs => ({
  chosen: tf.sub(policyChosen, tf.tensor1d(constants.referenceChosen)),
  rejected: tf.sub(policyRejected, tf.tensor1d(constants.referenceRejected)),
  policyChosen,
  policyRejected,
  chosenLengths: tf.tensor1d(constants.chosenLengths),
  rejectedLengths: tf.tensor1d(constants.rejectedLengths),
  rewardGaps: tf.tensor1d(constants.rewardGaps)
})
