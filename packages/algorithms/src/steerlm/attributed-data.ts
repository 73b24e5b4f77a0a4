import {
  attempt,
  fitToLength,
  type LengthLimit,
  loadSupervised,
  MalformedRecord,
  NoRowsLeft,
  RowTooLong,
  supervisedDataset,
  type SupervisedRecord,
  type TokenizedDataset,
  type TokenizedRow,
  type TokenizerShape
} from "@plumbline/data"
import { Effect } from "effect"
import { type DataKind, dataKind } from "../data-file.ts"
import { gradesOf, labelIds, labelled } from "./attribute-label.ts"

/** Demonstrations with grades as numbers at the top of their rows, each with its label before its answer. */
export const attributedFiles = (names: ReadonlyArray<string>): DataKind<TokenizedRow> =>
  dataKind({
    load: loadSupervised,
    tokenize: (tokenizer, records, limit) => attributedDataset(tokenizer, records, names, limit),
    rows: (row) => [row]
  })

const attributedDataset = Effect.fnUntraced(function* (
  tokenizer: TokenizerShape,
  records: ReadonlyArray<SupervisedRecord>,
  names: ReadonlyArray<string>,
  limit: LengthLimit
) {
  // rows are cut once, with their labels
  const whole = yield* supervisedDataset(tokenizer, records, { ...limit, maxLength: Number.MAX_SAFE_INTEGER })
  return yield* attempt(() => withLabels(tokenizer, records, names, limit, whole))
})

const withLabels = (
  tokenizer: TokenizerShape,
  records: ReadonlyArray<SupervisedRecord>,
  names: ReadonlyArray<string>,
  { maxLength, policy }: LengthLimit,
  whole: TokenizedDataset<TokenizedRow>
): TokenizedDataset<TokenizedRow> => {
  const rows: Array<TokenizedRow> = []
  const numbers: Array<number> = []
  let truncated = 0
  whole.rows.forEach((row, i) => {
    const number = whole.records[i]!
    const { attributes, origin = { file: "records", line: number + 1 } } = records[number]!
    const labelledRow = labelled(row, labelIds(tokenizer, names, gradesOf(names, attributes, origin)))
    const fitted = fitToLength(labelledRow, maxLength, policy)
    if (fitted.outcome === "tooLong") throw new RowTooLong({ ...origin, tokens: labelledRow.ids.length, maxLength })
    if (!("row" in fitted)) return
    if (fitted.outcome === "truncated") truncated++
    rows.push(fitted.row)
    numbers.push(number)
  })
  checkNames(records, names)
  const dropped = records.length - rows.length
  if (rows.length === 0) throw new NoRowsLeft({ file: records[0]?.origin?.file ?? "records", dropped, maxLength })
  return { rows, records: Int32Array.from(numbers), truncated, dropped, supervisesStop: whole.supervisesStop }
}

/** @throws MalformedRecord where no row has an attribute: its name is another */
const checkNames = (records: ReadonlyArray<SupervisedRecord>, names: ReadonlyArray<string>): void => {
  const unknown = names.find((name) => records.every(({ attributes }) => attributes?.[name] === undefined))
  if (unknown === undefined) return
  const origin = records[0]?.origin ?? { file: "records", line: 1 }
  throw new MalformedRecord({ ...origin, field: unknown, reason: "no row of the file has it" })
}
