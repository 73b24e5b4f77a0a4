import { collate, type ScoredRows, scoredCount, type TokenizedRow } from "@plumbline/data"
import type { Dataset, MicroBatch } from "@plumbline/training"
import type { PairUnit } from "./preference-data.ts"

/** Responses as the rows of one batch. */
export interface ResponseRows {
  readonly rows: ScoredRows
  /** In the order of `rows`. */
  readonly responses: ReadonlyArray<TokenizedRow>
  /** [M] float32: what each scored token counts in its response's log-prob; 1 each when absent */
  readonly tokenWeights?: Float32Array | undefined
}

/** P pairs as 2·P rows: the chosen responses first, then the rejected ones in the same order. */
export interface PairRows extends MicroBatch, ResponseRows {
  readonly pairs: number
  readonly units: ReadonlyArray<PairUnit>
}

/** Pairs with the reference policy's log-probs, made before the step. */
export interface PairBatch extends PairRows {
  /** [2·P] float32, nats: sums over each response's scored tokens, in the order of the rows */
  readonly referenceLogProbs: Float32Array
}

/** @param tailWeight of tokens beyond the length of the pair's shorter response */
export const pairRows = (
  data: Pick<Dataset<PairUnit>, "layout" | "padId">,
  units: ReadonlyArray<PairUnit>,
  tailWeight = 1
): PairRows => {
  const responses = [...units.map(({ row }) => row.chosen), ...units.map(({ row }) => row.rejected)]
  const rows = collate(responses, data)
  return {
    pairs: units.length,
    units,
    responses,
    rows,
    tokenWeights: tailWeight === 1 ? undefined : tailWeights(rows, units, tailWeight),
    tokens: units.reduce((total, { tokens }) => total + tokens, 0),
    origins: units.map(({ origin }) => origin)
  }
}

/** [P] scored tokens of one side. */
export const sideLengths = (units: ReadonlyArray<PairUnit>, side: "chosen" | "rejected"): Float32Array =>
  Float32Array.from(units, (unit) => scoredCount(unit.row[side]))

const tailWeights = ({ scored }: ScoredRows, units: ReadonlyArray<PairUnit>, weight: number): Float32Array => {
  const rejected = sideLengths(units, "rejected")
  const shared = sideLengths(units, "chosen").map((length, pair) => Math.min(length, rejected[pair]!))
  const seen = new Int32Array(2 * units.length)
  return Float32Array.from(scored.rows, (row) => (seen[row]!++ < shared[row % units.length]! ? 1 : weight))
}
