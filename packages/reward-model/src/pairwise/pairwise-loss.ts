import type { Tensor1D } from "@plumbline/runtime"

/** What a pairwise loss sees of P pairs, [P] float32 each. */
export interface PairScores {
  /** Score of the better response. */
  readonly chosen: Tensor1D
  readonly rejected: Tensor1D
  /** The data's `margin`: how far apart the scores are to be at least; 0 where a pair has none. */
  readonly margins: Tensor1D
  /** How much better the chosen response is said to be, ≥ 0; NaN where the data do not say. */
  readonly strengths: Tensor1D
}

/** A loss on the scores of pairs, as a value. */
export interface PairwiseLoss {
  readonly name: string
  /** Plain data, recorded with the run. */
  readonly options: Readonly<Record<string, unknown>>
  /** Whether every pair must say how much better its chosen response is; false when absent. */
  readonly needsStrengths?: boolean
  /** [P] */
  readonly perPair: (scores: PairScores) => Tensor1D
}
