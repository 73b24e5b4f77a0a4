import type {
  GradedRecord,
  PreferenceRecord,
  StepwiseRecord,
  SupervisedRecord,
  TripleRecord,
  UnpairedRecord
} from "../records/records.ts"
import { scoredCount, type TokenizedRow } from "../rows.ts"
import type { TokenizerShape } from "../tokenizer/tokenizer.ts"
import {
  type TokenizedPreference,
  type TokenizedTriple,
  tokenizeJudged,
  tokenizePreference,
  tokenizeSteps,
  tokenizeSupervised,
  tokenizeTriple,
  tokenizeUnpaired,
  withBos
} from "./completion.ts"

export interface UnpairedRow extends TokenizedRow {
  /** true = desirable */
  readonly label: boolean
}

/** A row with a grade for each attribute. */
export interface GradedRow extends TokenizedRow {
  /** [K] float32, NaN where there is none */
  readonly grades: Float32Array
}

/** A response in steps; the loss mask is 1 where one ends. */
export interface StepwiseRow extends TokenizedRow {
  /** One a step, in order: 1 right, 0 wrong, NaN unjudged. */
  readonly labels: Float32Array
}

/** How records become units of rows. */
export interface Units<Record, Unit> {
  readonly tokenize: (tokenizer: TokenizerShape, record: Record) => Unit
  readonly rows: (unit: Unit) => ReadonlyArray<TokenizedRow>
  /** The unit with its rows exchanged, in the order of `rows`. */
  readonly withRows: (unit: Unit, rows: ReadonlyArray<TokenizedRow>) => Unit
}

export const singles: Units<SupervisedRecord, TokenizedRow> = {
  tokenize: tokenizeSupervised,
  rows: (row) => [row],
  withRows: (_, [row]) => row!
}

export const labelled: Units<UnpairedRecord, UnpairedRow> = {
  tokenize: (tokenizer, record) => ({ ...tokenizeUnpaired(tokenizer, record), label: record.label }),
  rows: (row) => [row],
  withRows: ({ label }, [row]) => ({ ...row!, label })
}

export const pairs: Units<PreferenceRecord, TokenizedPreference> = {
  tokenize: tokenizePreference,
  rows: ({ chosen, rejected }) => [chosen, rejected],
  withRows: (pair, [chosen, rejected]) => ({ ...pair, chosen: chosen!, rejected: rejected! })
}

export const graded: Units<GradedRecord, GradedRow> = {
  tokenize: (tokenizer, { grades, judged }) => {
    const ids = tokenizeJudged(tokenizer, judged)
    // every token counts: what is scored is the row
    return { ids, lossMask: new Uint8Array(ids.length).fill(1), grades }
  },
  rows: (row) => [row],
  withRows: ({ grades }, [row]) => ({ ...row!, grades })
}

export const stepwise = (separator: string): Units<StepwiseRecord, StepwiseRow> => ({
  tokenize: (tokenizer, { labels, prompt, steps }) => ({
    ...tokenizeSteps(tokenizer, prompt, steps, separator),
    labels: Float32Array.from(labels, (label) => (label === undefined ? Number.NaN : label ? 1 : 0))
  }),
  rows: (row) => [row],
  withRows: ({ labels }, [row]) => ({ ...row!, labels: labels.slice(0, scoredCount(row!)) })
})

export const triples: Units<TripleRecord, TokenizedTriple> = {
  tokenize: tokenizeTriple,
  rows: ({ chosen, gold, rejected }) => [chosen, rejected, gold],
  withRows: (triple, [chosen, rejected, gold]) => ({ ...triple, chosen: chosen!, rejected: rejected!, gold: gold! })
}

export const opened = <Record, Unit>(units: Units<Record, Unit>): Units<Record, Unit> => ({
  ...units,
  tokenize: (tokenizer, record) => {
    const unit = units.tokenize(tokenizer, record)
    const rows = units.rows(unit).map((row) => withBos(tokenizer, row))
    return units.withRows(unit, rows)
  }
})
