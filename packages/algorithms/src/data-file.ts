import {
  attempt,
  batchSampler,
  checkVocabulary,
  type DataError,
  type LengthLimit,
  type Origin,
  Tokenizer,
  type TokenizedDataset,
  type TokenizedRow,
  type TokenizerShape
} from "@plumbline/data"
import { type Model, Policy } from "@plumbline/models"
import { Processes } from "@plumbline/runtime"
import {
  type Dataset,
  type DataUnit,
  Examination,
  type MicroBatching,
  Progress,
  type TrainingOptions
} from "@plumbline/training"
import { Effect } from "effect"
import { basename } from "node:path"
import { dataFindings } from "./data-findings.ts"

/** Where a run's data lies and how it becomes steps. */
export type DataFileOptions = Pick<
  TrainingOptions,
  "batchSize" | "maxLength" | "overlong" | "packing" | "seed" | "shuffle"
> & {
  readonly train: string
  /** Held-out file. */
  readonly eval?: string | undefined
  readonly microBatchSize?: number | undefined
  readonly microBatchTokens?: number | undefined
}

/** Tokenized rows (or pairs) of a file, and how many records it held. */
export interface ReadUnits<Row> {
  readonly dataset: TokenizedDataset<Row>
  readonly total: number
  /** Line of each unit, from 1. */
  readonly lines: ReadonlyArray<number>
}

/** How a file becomes tokenized rows (or pairs). */
export interface DataKind<Row> {
  readonly read: (
    tokenizer: TokenizerShape,
    file: string,
    limit: LengthLimit
  ) => Effect.Effect<ReadUnits<Row>, DataError>
  /** The token rows that one unit of data holds: itself, or both sides of a pair. */
  readonly rows: (unit: Row) => ReadonlyArray<TokenizedRow>
  /** Rows are to be judged and not to be written, so nobody learns from them how to stop; false when absent. */
  readonly judged?: boolean
}

export interface RecordReader<Record extends { readonly origin?: Origin }, Row> {
  readonly load: (file: string) => Effect.Effect<ReadonlyArray<Record>, DataError>
  readonly tokenize: (
    tokenizer: TokenizerShape,
    records: ReadonlyArray<Record>,
    limit: LengthLimit
  ) => Effect.Effect<TokenizedDataset<Row>, DataError>
  readonly rows: DataKind<Row>["rows"]
  readonly judged?: boolean
}

/** A kind of data from how its records are loaded and tokenized. */
export const dataKind = <Record extends { readonly origin?: Origin }, Row>({
  judged = false,
  load,
  rows,
  tokenize
}: RecordReader<Record, Row>): DataKind<Row> => ({
  rows,
  judged,
  read: Effect.fnUntraced(function* (tokenizer, file, limit) {
    const records = yield* load(file)
    const dataset = yield* tokenize(tokenizer, records, limit)
    const lines = Array.from(dataset.records, (record) => records[record]?.origin?.line ?? record + 1)
    return { dataset, total: records.length, lines }
  })
})

/** Lengths in tokens of the rows of each unit of a file, as a run would read it. */
export const unitLengths = <Row>(
  { read, rows }: DataKind<Row>,
  tokenizer: TokenizerShape,
  file: string,
  limit: LengthLimit
): Effect.Effect<ReadonlyArray<ReadonlyArray<number>>, DataError> =>
  Effect.map(read(tokenizer, file, limit), ({ dataset }) =>
    dataset.rows.map((unit) => rows(unit).map(({ ids }) => ids.length))
  )

/**
 * Reads, tokenizes and batches the files of a run, and says how many rows were cut or left out.
 *
 * Rows are at most `maxLength` tokens, and never longer than the policy's context.
 */
export const dataFromFiles = <Row>(kind: DataKind<Row>, options: DataFileOptions) =>
  Effect.flatMap(Policy, (policy) => modelDataFromFiles(kind, options, policy))

/** The same for a model that is no policy. */
export const modelDataFromFiles = Effect.fn("dataFromFiles")(function* <Row>(
  kind: DataKind<Row>,
  options: DataFileOptions,
  { config, contextTokens }: Pick<Model, "config" | "contextTokens">
) {
  const tokenizer = yield* Tokenizer
  yield* checkVocabulary(tokenizer, config.vocabulary)
  const limit = { maxLength: Math.min(options.maxLength, contextTokens), policy: options.overlong }
  const units = yield* readUnits(kind, options.train, limit)
  const heldOut = options.eval === undefined ? [] : yield* readUnits(kind, options.eval, limit)
  const { batchSize, seed, shuffle } = options
  const sampler = yield* attempt(() => batchSampler({ rows: units.length, batchSize, seed, shuffle }))
  const dataset: Dataset<DataUnit & { readonly row: Row }> = {
    units,
    heldOut,
    sampler,
    split: { ...((yield* Examination)?.split ?? microBatching(options)), processes: (yield* Processes).size },
    layout: options.packing ? "packed" : "padded-right",
    padId: tokenizer.padId,
    maxLength: limit.maxLength
  }
  return dataset
})

const readUnits = Effect.fnUntraced(function* <Row>(kind: DataKind<Row>, file: string, limit: LengthLimit) {
  const read = yield* kind.read(yield* Tokenizer, file, limit)
  const examiner = yield* Examination
  const { note } = yield* Progress
  const findings = dataFindings(file, read, limit, kind.judged !== true)
  yield* Effect.forEach(findings, (finding) => examiner?.tell(finding) ?? note(finding.text), { discard: true })
  return read.dataset.rows.map((row, i) => ({
    row,
    tokens: kind.rows(row).reduce((sum, { ids }) => sum + ids.length, 0),
    origin: `${basename(file)}:${read.lines[i]}`
  }))
})

const microBatching = ({ batchSize, microBatchSize, microBatchTokens }: DataFileOptions): MicroBatching =>
  microBatchTokens === undefined ? { count: microBatchSize ?? batchSize } : { tokens: microBatchTokens }
