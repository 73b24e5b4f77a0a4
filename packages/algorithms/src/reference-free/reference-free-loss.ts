import type { TokenizedPreference, TokenizedRow } from "@plumbline/data"
import type { Tensor1D } from "@plumbline/runtime"

/** Log-probs of P pairs under the policy alone: sums over the scored tokens, or means where the loss is length-normalized. */
export interface PolicyLogProbs {
  /** [P] float32, nats */
  readonly chosen: Tensor1D
  /** [P] float32, nats */
  readonly rejected: Tensor1D
}

/** Cross-entropy that is added to the loss on pairs: a mean over the tokens imitated. */
export interface Imitation<Row> {
  readonly weight: number
  /**
   * The row that is imitated on the tokens its loss mask counts. One that has the chosen row's very `ids` shares its
   * forward pass; any other is a row of its own.
   */
  readonly row: (pair: Row) => TokenizedRow
}

/**
 * A loss on preference pairs that looks at the policy alone: a value, made by a constructor with its options. There is no
 * place for a reference policy in it.
 *
 * The objective around it takes the mean over the pairs of the global batch.
 */
export interface ReferenceFreeLoss<Row extends TokenizedPreference = TokenizedPreference> {
  readonly name: string
  /** Plain data, recorded with the run. */
  readonly options: unknown
  /** A response's log-prob is the mean over its tokens, not the sum. */
  readonly lengthNormalized: boolean
  /** [P] implicit rewards from log-probs, for the metrics. */
  readonly reward: (logProbs: Tensor1D) => Tensor1D
  /** [P] float32, one loss a pair. */
  readonly perPair: (pairs: PolicyLogProbs) => Tensor1D
  readonly imitation?: Imitation<Row> | undefined
  /** [P] each: other quantities to report, by name. */
  readonly metrics?: (pairs: PolicyLogProbs) => Readonly<Record<string, Tensor1D>>
}
