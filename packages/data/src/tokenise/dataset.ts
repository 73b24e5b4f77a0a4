import { Effect } from "effect"
import { attempt, DoubledBos, EmptyLossMask, NoRowsLeft, renderingRow, RowTooLong } from "../errors.ts"
import type {
  GradedRecord,
  Origin,
  PreferenceRecord,
  StepwiseRecord,
  SupervisedRecord,
  TripleRecord,
  UnpairedRecord
} from "../records/records.ts"
import { scoredCount, type TokenizedRow } from "../rows.ts"
import type { TokenizerShape } from "../tokenizer/tokenizer.ts"
import { hasDoubledBos } from "./doubled-bos.ts"
import { graded, labelled, opened, pairs, singles, stepwise, triples, type Units } from "./row-units.ts"
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

/** The same with BOS at the beginning of every row, where the tokenizer has one, whether it puts it there itself or not. */
export const openedUnpairedDataset = Effect.fn("openedUnpairedDataset")(
  (tokenizer: TokenizerShape, records: ReadonlyArray<UnpairedRecord>, limit: LengthLimit) =>
    attempt(() => tokenizeAll(tokenizer, records, limit, opened(labelled)))
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

/** Rows judged as a whole. */
export const gradedDataset = Effect.fn("gradedDataset")(
  (tokenizer: TokenizerShape, records: ReadonlyArray<GradedRecord>, limit: LengthLimit) =>
    attempt(() => tokenizeAll(tokenizer, records, limit, graded))
)

/** Responses judged step by step; steps beyond the length limit are cut off. */
export const stepwiseDataset = (separator: string) =>
  Effect.fn("stepwiseDataset")(
    (tokenizer: TokenizerShape, records: ReadonlyArray<StepwiseRecord>, limit: LengthLimit) =>
      attempt(() => tokenizeAll(tokenizer, records, limit, stepwise(separator)))
  )

/** @throws EmptyLossMask, DoubledBos, RowTooLong, NoRowsLeft, ChatTemplateInvalid */
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
    const unit = renderingRow(origin, () => units.tokenize(tokenizer, record))
    const fitted = units.rows(unit).map((row) => fit(tokenizer, row, limit, origin))
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

const fit = (tokenizer: TokenizerShape, row: TokenizedRow, { maxLength, policy }: LengthLimit, origin: Origin) => {
  if (scoredCount(row) === 0) throw new EmptyLossMask({ ...origin })
  if (hasDoubledBos(tokenizer, row.ids)) throw new DoubledBos({ ...origin })
  const fitted = fitToLength(row, maxLength, policy)
  if (fitted.outcome === "tooLong") throw new RowTooLong({ ...origin, tokens: row.ids.length, maxLength })
  return fitted
}

const scoresAny = ({ ids, lossMask }: TokenizedRow, wanted: ReadonlyArray<number>): boolean =>
  ids.some((id, t) => t > 0 && lossMask[t] === 1 && wanted.includes(id))
