import { collate, scoredCount, type TokenizedPreference, type TokenizedRow } from "@plumbline/data"
import type { Dataset, DataUnit, MicroBatch } from "@plumbline/training"
import type { ResponseRows } from "../preference/pair-batch.ts"
import type { Imitation } from "./reference-free-loss.ts"

/** A tokenized pair, perhaps with a gold response. */
export interface RowUnit<Row extends TokenizedPreference> extends DataUnit {
  readonly row: Row
}

/**
 * P pairs: their chosen responses, their rejected ones, then what else is imitated, in the same order. `tokenWeights` are 1 on
 * tokens of responses and 0 on those that are only imitated.
 */
export interface ReferenceFreeBatch extends MicroBatch, ResponseRows {
  readonly pairs: number
  /** [P] float32, tokens */
  readonly chosenLengths: Float32Array
  /** [P] float32, tokens */
  readonly rejectedLengths: Float32Array
  readonly tokenWeights: Float32Array
  /** [M] 1 = imitated, 0 = not */
  readonly imitated: Float32Array
}

/** A row with what each of its tokens counts for. */
interface MarkedRow {
  readonly ids: Int32Array
  /** 1 = counts in the response's log-prob */
  readonly response: Uint8Array
  /** 1 = counts in the cross-entropy */
  readonly imitated: Uint8Array
}

export const referenceFreeBatch = <Row extends TokenizedPreference>(
  data: Pick<Dataset<DataUnit>, "layout" | "padId">,
  units: ReadonlyArray<RowUnit<Row>>,
  imitation: Imitation<Row> | undefined
): ReferenceFreeBatch => {
  const marked = markedRows(units, imitation)
  const responses = marked.map(scoredRow)
  const onScored = (mask: "response" | "imitated") =>
    Float32Array.from(marked.flatMap((row, r) => [...row[mask]].filter((_, t) => responses[r]!.lossMask[t] === 1)))
  return {
    pairs: units.length,
    responses,
    rows: collate(responses, data),
    tokenWeights: onScored("response"),
    imitated: onScored("imitated"),
    chosenLengths: Float32Array.from(units, ({ row }) => scoredCount(row.chosen)),
    rejectedLengths: Float32Array.from(units, ({ row }) => scoredCount(row.rejected)),
    tokens: responses.reduce((total, { ids }) => total + ids.length, 0),
    origins: units.map(({ origin }) => origin)
  }
}

const markedRows = <Row extends TokenizedPreference>(
  units: ReadonlyArray<RowUnit<Row>>,
  imitation: Imitation<Row> | undefined
): ReadonlyArray<MarkedRow> => {
  const imitated = units.map(({ row }) => imitation?.row(row))
  const shared = (i: number) => imitated[i]?.ids === units[i]!.row.chosen.ids
  const nothing = ({ ids }: TokenizedRow) => new Uint8Array(ids.length)
  const chosen = units.map(({ row: { chosen: own } }, i) => ({
    ids: own.ids,
    response: own.lossMask,
    imitated: shared(i) ? imitated[i]!.lossMask : nothing(own)
  }))
  const rejected = units.map(({ row: { rejected: own } }) => ({
    ids: own.ids,
    response: own.lossMask,
    imitated: nothing(own)
  }))
  const others = imitated.flatMap((own, i) =>
    own === undefined || shared(i) ? [] : [{ ids: own.ids, response: own.lossMask, imitated: own.lossMask }]
  )
  return [...chosen, ...rejected, ...others]
}

const scoredRow = ({ ids, imitated, response }: MarkedRow): TokenizedRow => ({
  ids,
  lossMask: response.map((counts, t) => counts | imitated[t]!)
})
