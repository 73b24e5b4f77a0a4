import type { ScoredTokens } from "@plumbline/models"
import { tf, type Tensor1D } from "@plumbline/runtime"
import type { PairRows } from "./pair-batch.ts"

/**
 * WPO's weight of each pair, w(chosen)·w(rejected) with w(y) = exp(mean over t of [log π(y_t) − log Σ_v π(v)²]); nothing where
 * the policy was not asked for its collision probabilities.
 *
 * @returns [P] float32, without a gradient
 */
export const onPolicyWeights = (
  { logCollision, logProbs }: ScoredTokens,
  { pairs, rows }: PairRows
): Tensor1D | undefined => {
  if (logCollision === undefined) return undefined
  // through the host: what is uploaded again carries no gradient
  const [own, collision] = [logProbs.dataSync(), logCollision.dataSync()]
  const sums = new Float64Array(2 * pairs)
  const lengths = new Float64Array(2 * pairs)
  rows.scored.rows.forEach((row, m) => {
    sums[row]! += own[m]! - collision[m]!
    lengths[row]! += 1
  })
  const mean = (row: number) => sums[row]! / lengths[row]!
  return tf.tensor1d(Float32Array.from({ length: pairs }, (_, pair) => Math.exp(mean(pair) + mean(pairs + pair))))
}
