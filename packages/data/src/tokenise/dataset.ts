import { Effect } from "effect"
import { attempt, EmptyLossMask, NoRowsLeft, RowTooLong } from "../errors.ts"
import type { Origin, PreferenceRecord, SupervisedRecord, TripleRecord, UnpairedRecord } from "../records/records.ts"
import { scoredCount, type TokenizedRow } from "../rows.ts"
import type { TokenizerShape } from "../tokenizer/tokenizer.ts"
import {
  type TokenizedPreference,
  type TokenizedTriple,
  tokenizePreference,
  tokenizeSupervised,
  tokenizeTriple,
  tokenizeUnpaired,
  withBos
} from "./completion.ts"
import { fitToLength, type LengthPolicy } from "./fit-to-length.ts"

export interface LengthLimit {
  /** Tokens of a row, prompt and completion. */
  readonly maxLength: number
  readonly policy: LengthPolicy
}

/** Rows ready to be collated, and what the length limit did to them for the run to state. */
export interface TokenizedDataset<Unit> {
  readonly rows: ReadonlyArray<Unit>
  /** Number of the record each row came from, from 0. */
  readonly records: Int32Array
  /** Rows (pairs) that were cut. */
  readonly truncated: number
  /** Rows (pairs) left out. */
  readonly dropped: number
  /** Some scored token ends a response; where none does, the model cannot learn to stop. */
  readonly supervisesStop: boolean
}

export interface UnpairedRow extends TokenizedRow {
  /** true = desirable */
  readonly label: boolean
}

/** Rows to imitate. */
export const supervisedDataset = Effect.fn("supervisedDataset")(
  (tokenizer: TokenizerShape, records: ReadonlyArray<SupervisedRecord>, limit: LengthLimit) =>
    attempt(() => tokenizeAll(tokenizer, records, limit, singles))
)

/** Responses judged one by one. */
export const unpairedDataset = Effect.fn("unpairedDataset")(
  (tokenizer: TokenizerShape, records: ReadonlyArray<UnpairedRecord>, limit: LengthLimit) =>
    attempt(() => tokenizeAll(tokenizer, records, limit, labelled))
)

/** Pairs: both sides are cut alike, and a pair is dropped as a whole. */
export const preferenceDataset = Effect.fn("preferenceDataset")(
  (tokenizer: TokenizerShape, records: ReadonlyArray<PreferenceRecord>, limit: LengthLimit) =>
    attempt(() => tokenizeAll(tokenizer, records, limit, pairs))
)

/** The same with BOS at the beginning of every row, where the tokenizer has one, whether it puts it there itself or not. */
export const openedPreferenceDataset = Effect.fn("openedPreferenceDataset")(
  (tokenizer: TokenizerShape, records: ReadonlyArray<PreferenceRecord>, limit: LengthLimit) =>
    attempt(() => tokenizeAll(tokenizer, records, limit, opened(pairs)))
)

/** Pairs with a gold response; the three are cut alike, and dropped as a whole. */
export const tripleDataset = Effect.fn("tripleDataset")(
  (tokenizer: TokenizerShape, records: ReadonlyArray<TripleRecord>, limit: LengthLimit) =>
    attempt(() => tokenizeAll(tokenizer, records, limit, triples))
)

/** How records become units of rows. */
interface Units<Record, Unit> {
  readonly tokenize: (tokenizer: TokenizerShape, record: Record) => Unit
  readonly rows: (unit: Unit) => ReadonlyArray<TokenizedRow>
  /** The unit with its rows exchanged, in the order of `rows`. */
  readonly withRows: (unit: Unit, rows: ReadonlyArray<TokenizedRow>) => Unit
}

const singles: Units<SupervisedRecord, TokenizedRow> = {
  tokenize: tokenizeSupervised,
  rows: (row) => [row],
  withRows: (_, [row]) => row!
}

const labelled: Units<UnpairedRecord, UnpairedRow> = {
  tokenize: (tokenizer, record) => ({ ...tokenizeUnpaired(tokenizer, record), label: record.label }),
  rows: (row) => [row],
  withRows: ({ label }, [row]) => ({ ...row!, label })
}

const pairs: Units<PreferenceRecord, TokenizedPreference> = {
  tokenize: tokenizePreference,
  rows: ({ chosen, rejected }) => [chosen, rejected],
  withRows: (pair, [chosen, rejected]) => ({ ...pair, chosen: chosen!, rejected: rejected! })
}

const triples: Units<TripleRecord, TokenizedTriple> = {
  tokenize: tokenizeTriple,
  rows: ({ chosen, gold, rejected }) => [chosen, rejected, gold],
  withRows: (triple, [chosen, rejected, gold]) => ({ ...triple, chosen: chosen!, rejected: rejected!, gold: gold! })
}

const opened = <Record, Unit>(units: Units<Record, Unit>): Units<Record, Unit> => ({
  ...units,
  tokenize: (tokenizer, record) => {
    const unit = units.tokenize(tokenizer, record)
    const rows = units.rows(unit).map((row) => withBos(tokenizer, row))
    return units.withRows(unit, rows)
  }
})

/** @throws EmptyLossMask, RowTooLong, NoRowsLeft, ChatTemplateInvalid */
const tokenizeAll = <Record extends { readonly origin?: Origin }, Unit>(
  tokenizer: TokenizerShape,
  records: ReadonlyArray<Record>,
  limit: LengthLimit,
  units: Units<Record, Unit>
): TokenizedDataset<Unit> => {
  const kept: Array<Unit> = []
  const numbers: Array<number> = []
  let truncated = 0
  records.forEach((record, number) => {
    const origin = record.origin ?? { file: "records", line: number + 1 }
    const unit = units.tokenize(tokenizer, record)
    const fitted = units.rows(unit).map((row) => fit(row, limit, origin))
    if (fitted.some(({ outcome }) => outcome === "dropped")) return
    if (fitted.some(({ outcome }) => outcome === "truncated")) truncated++
    kept.push(
      units.withRows(
        unit,
        fitted.map((side) => (side as { readonly row: TokenizedRow }).row)
      )
    )
    numbers.push(number)
  })
  const dropped = records.length - kept.length
  if (kept.length === 0) {
    throw new NoRowsLeft({ file: records[0]?.origin?.file ?? "records", dropped, maxLength: limit.maxLength })
  }
  const supervisesStop = kept.some((unit) => units.rows(unit).some((row) => scoresAny(row, tokenizer.stopIds)))
  return { rows: kept, records: Int32Array.from(numbers), truncated, dropped, supervisesStop }
}

const fit = (row: TokenizedRow, { maxLength, policy }: LengthLimit, origin: Origin) => {
  if (scoredCount(row) === 0) throw new EmptyLossMask({ ...origin })
  const fitted = fitToLength(row, maxLength, policy)
  if (fitted.outcome === "tooLong") throw new RowTooLong({ ...origin, tokens: row.ids.length, maxLength })
  return fitted
}

const scoresAny = ({ ids, lossMask }: TokenizedRow, wanted: ReadonlyArray<number>): boolean =>
  ids.some((id, t) => t > 0 && lossMask[t] === 1 && wanted.includes(id))
