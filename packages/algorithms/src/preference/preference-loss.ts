import type { Tensor1D } from "@plumbline/runtime"

/** What a preference loss sees of P pairs. Sums run over the scored tokens of a response. */
export interface PairLogProbs {
  /** [P] float32, nats: log π − log π_ref of the chosen responses */
  readonly chosen: Tensor1D
  /** [P] float32, nats: the same of the rejected responses */
  readonly rejected: Tensor1D
  /** [P] float32, nats: log π of the chosen responses */
  readonly policyChosen: Tensor1D
  /** [P] float32, nats: log π of the rejected responses */
  readonly policyRejected: Tensor1D
  /** [P] float32, tokens the chosen responses are scored on */
  readonly chosenLengths: Tensor1D
  /** [P] float32, tokens the rejected responses are scored on */
  readonly rejectedLengths: Tensor1D
  /** [P] float32: graded reward of the chosen response minus that of the rejected one; NaN where the data have none */
  readonly rewardGaps: Tensor1D
}

/**
 * A loss on preference pairs: a value, made by a constructor with its options.
 *
 * The objective around it takes the mean over the pairs of the global batch.
 */
export interface PreferenceLoss {
  readonly name: string
  /** Plain data, recorded with the run. */
  readonly options: unknown
  /** Scale of the implicit rewards in the metrics: β·(log π − log π_ref). */
  readonly beta: number
  /** What a pair costs where the policy is its reference, if that is known. */
  readonly atReference?: number
  /** [P] float32, one loss a pair. */
  readonly perPair: (pairs: PairLogProbs) => Tensor1D
  /** Weight of the chosen responses' cross-entropy, a mean over their tokens; none when absent. */
  readonly crossEntropyWeight?: number
  /** `perPair` sets pairs against one another: it is given those of the whole global batch at once. */
  readonly coupled?: boolean
  /** `perPair` reads `rewardGaps`: data without graded rewards are refused. */
  readonly needsRewards?: boolean
  /** Weight of a response's tokens beyond the length of its pair's shorter response; 1 when absent. */
  readonly tailWeight?: number
  /** Each pair's loss is multiplied by how likely the policy finds both responses. */
  readonly onPolicyWeights?: boolean
}
