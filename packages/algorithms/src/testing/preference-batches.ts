import type { RowLayout, TokenizedRow } from "@plumbline/data"
import type { CausalLM } from "@plumbline/models"
import { type PairBatch, pairRows } from "../preference/pair-batch.ts"
import { responseLogProbs } from "../preference/pair-log-probs.ts"
import type { PairUnit } from "../preference/preference-data.ts"
import { row, smallModel, unevenRows } from "./small-models.ts"

/** A pair of rows, graded where `reward` gives how much better the chosen one is. */
export const pairUnit = (chosen: TokenizedRow, rejected: TokenizedRow, i = 0, reward?: number): PairUnit => ({
  row: { chosen, rejected, ...(reward === undefined ? {} : { chosenReward: reward, rejectedReward: 0 }) },
  tokens: chosen.ids.length + rejected.ids.length,
  origin: `pair ${i}`
})

/** Graded pairs of several lengths, the longer response on either side. */
export const unevenPairs: ReadonlyArray<PairUnit> = [
  ...[0, 2, 4].map((i) => pairUnit(unevenRows[i]!, unevenRows[i + 1]!, i, 0.4 * i - 0.3)),
  pairUnit(row([3, 4, 9], 2), row([3, 4, 5, 6, 7, 8, 9], 2), 6, 2)
]

export interface BatchOptions {
  readonly layout?: RowLayout
  readonly tailWeight?: number | undefined
}

/** Pairs with the log-probs of a reference. */
export const pairBatch = (
  units: ReadonlyArray<PairUnit>,
  reference: CausalLM,
  { layout = "packed", tailWeight }: BatchOptions = {}
): PairBatch => {
  const rows = pairRows({ layout, padId: 0 }, units, tailWeight)
  return { ...rows, referenceLogProbs: responseLogProbs(reference, rows) }
}

/** The same pairs in one micro-batch, in several, and in every layout. */
export const pairSplits = (tailWeight?: number): ReadonlyArray<ReadonlyArray<PairBatch>> => {
  const reference = smallModel(11)
  const batch = (units: ReadonlyArray<PairUnit>, layout: RowLayout = "packed") =>
    pairBatch(units, reference, { layout, tailWeight })
  const splits = [
    [batch(unevenPairs)],
    unevenPairs.map((unit) => batch([unit])),
    [batch(unevenPairs.slice(0, 3)), batch(unevenPairs.slice(3))],
    [batch(unevenPairs, "padded-right")],
    [batch(unevenPairs, "padded-left")]
  ]
  reference.dispose()
  return splits
}
