import { collate } from "@plumbline/data"
import type { ScoredPairs } from "@plumbline/reward-model"
import type { Dataset } from "@plumbline/training"
import type { PairUnit } from "../preference/preference-data.ts"

/** Pairs as rows to be scored whole, prompt included. */
export const scoredPairs = (
  data: Pick<Dataset<PairUnit>, "layout" | "padId">,
  units: ReadonlyArray<PairUnit>
): ScoredPairs => ({
  pairs: units.length,
  rows: collate([...units.map(({ row }) => row.chosen), ...units.map(({ row }) => row.rejected)], data),
  margins: Float32Array.from(units, ({ row }) => row.margin ?? 0),
  strengths: Float32Array.from(units, strengthOf),
  tokens: units.reduce((total, { tokens }) => total + tokens, 0),
  origins: units.map(({ origin }) => origin)
})

/** How much better the chosen response is: as the row says, else its margin, else the gap of its graded rewards; NaN without. */
export const strengthOf = ({ row }: PairUnit): number =>
  row.strength ?? row.margin ?? (row.chosenReward ?? Number.NaN) - (row.rejectedReward ?? Number.NaN)
