import type { Tensor1D } from "@plumbline/runtime"

/** What a preference loss sees of P pairs. Sums run over the scored tokens of a response. */
export interface PairLogProbs {
  /** [P] float32, nats: log π − log π_ref of the chosen responses */
  readonly chosen: Tensor1D
  /** [P] float32, nats: the same of the rejected responses */
  readonly rejected: Tensor1D
  /** [P] float32, tokens the chosen responses are scored on */
  readonly chosenLengths: Tensor1D
  /** [P] float32, tokens the rejected responses are scored on */
  readonly rejectedLengths: Tensor1D
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
  /** [P] float32, one loss a pair. */
  readonly perPair: (pairs: PairLogProbs) => Tensor1D
  /** Weight of the chosen responses' cross-entropy, a mean over their tokens; none when absent. */
  readonly crossEntropyWeight?: number
}
