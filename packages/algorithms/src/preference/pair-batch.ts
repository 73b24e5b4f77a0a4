import { collate, type ScoredRows, scoredCount } from "@plumbline/data"
import type { Dataset, MicroBatch } from "@plumbline/training"
import type { PairUnit } from "./preference-data.ts"

/** P pairs as 2·P rows: the chosen responses first, then the rejected ones in the same order. */
export interface PairRows extends MicroBatch {
  readonly pairs: number
  readonly rows: ScoredRows
  readonly units: ReadonlyArray<PairUnit>
}

/** Pairs with the reference policy's log-probs, made before the step. */
export interface PairBatch extends PairRows {
  /** [2·P] float32, nats: sums over each response's scored tokens, in the order of the rows */
  readonly referenceLogProbs: Float32Array
}

export const pairRows = (
  data: Pick<Dataset<PairUnit>, "layout" | "padId">,
  units: ReadonlyArray<PairUnit>
): PairRows => ({
  pairs: units.length,
  units,
  rows: collate([...units.map(({ row }) => row.chosen), ...units.map(({ row }) => row.rejected)], data),
  tokens: units.reduce((total, { tokens }) => total + tokens, 0),
  origins: units.map(({ origin }) => origin)
})

/** [P] scored tokens of one side. */
export const sideLengths = (units: ReadonlyArray<PairUnit>, side: "chosen" | "rejected"): Float32Array =>
  Float32Array.from(units, (unit) => scoredCount(unit.row[side]))
