import { collate, type CollateOptions, type ScoredRows, type TokenizedRow } from "@plumbline/data"
import type { MicroBatch } from "@plumbline/training"

/** Responses of a rollout as rows, and what the loss needs of their M counted tokens; host data. */
export interface RolloutBatch extends MicroBatch {
  /** Prompt and response a row; the tokens that count are its scored ones. */
  readonly rows: ScoredRows
  /** [R] number of each row in its rollout */
  readonly numbers: Int32Array
  /** [M] float32 */
  readonly advantages: Float32Array
  /** [M] float32, nats, before the first update on the rollout; absent where the policy has not moved since */
  readonly oldLogProbs: Float32Array | undefined
  /** [M] float32, nats, as the sampler drew them; where they are known */
  readonly samplingLogProbs: Float32Array | undefined
  /** [M] float32, nats; where a KL is in the loss */
  readonly referenceLogProbs: Float32Array | undefined
  /** Of the KL in the loss. */
  readonly klCoefficient: number
}

/** A response that is learnt from, and numbers of its counted tokens. */
export interface RolloutRow {
  /** In its rollout. */
  readonly number: number
  readonly origin: string
  /** Prompt and response; the mask counts the tokens below. */
  readonly row: TokenizedRow
  readonly advantages: Float32Array
  readonly oldLogProbs: Float32Array | undefined
  readonly samplingLogProbs: Float32Array | undefined
  readonly referenceLogProbs: Float32Array | undefined
}

/** Rows of which all have a kind of numbers, or none has. */
export const rolloutRows = (
  rows: ReadonlyArray<RolloutRow>,
  { klCoefficient, ...layout }: CollateOptions & { readonly klCoefficient: number }
): RolloutBatch => ({
  rows: collate(
    rows.map(({ row }) => row),
    layout
  ),
  numbers: Int32Array.from(rows, ({ number }) => number),
  tokens: rows.reduce((sum, { row }) => sum + row.ids.length, 0),
  origins: rows.map(({ origin }) => origin),
  advantages: endToEnd(rows, ({ advantages }) => advantages)!,
  oldLogProbs: endToEnd(rows, ({ oldLogProbs }) => oldLogProbs),
  samplingLogProbs: endToEnd(rows, ({ samplingLogProbs }) => samplingLogProbs),
  referenceLogProbs: endToEnd(rows, ({ referenceLogProbs }) => referenceLogProbs),
  klCoefficient
})

const endToEnd = (
  rows: ReadonlyArray<RolloutRow>,
  of: (row: RolloutRow) => Float32Array | undefined
): Float32Array | undefined => {
  const parts = rows.map(of)
  if (parts.some((part) => part === undefined)) return undefined
  const all = new Float32Array(parts.reduce((sum, part) => sum + part!.length, 0))
  let next = 0
  for (const part of parts) {
    all.set(part!, next)
    next += part!.length
  }
  return all
}
