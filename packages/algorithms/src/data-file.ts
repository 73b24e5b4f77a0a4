import {
  batchSampler,
  type DataError,
  type LengthLimit,
  type Origin,
  Tokenizer,
  type TooFewRows,
  type TokenizedDataset,
  type TokenizerShape,
  VocabularyMismatch
} from "@plumbline/data"
import { Policy } from "@plumbline/models"
import { type Dataset, type DataUnit, type MicroBatching, Progress, type TrainingOptions } from "@plumbline/training"
import { Effect } from "effect"
import { basename } from "node:path"

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

/** How records of a file become tokenized rows (or pairs). */
export interface DataKind<Record extends { readonly origin?: Origin }, Row> {
  readonly load: (file: string) => Effect.Effect<ReadonlyArray<Record>, DataError>
  readonly tokenize: (
    tokenizer: TokenizerShape,
    records: ReadonlyArray<Record>,
    limit: LengthLimit
  ) => Effect.Effect<TokenizedDataset<Row>, DataError>
  /** Tokens of a row, or of all rows of a pair. */
  readonly tokens: (row: Row) => number
}

/**
 * Reads, tokenizes and batches the files of a run, and says how many rows were cut or left out.
 *
 * Rows are at most `maxLength` tokens, and never longer than the policy's context.
 */
export const dataFromFiles = Effect.fn("dataFromFiles")(function* <R extends { readonly origin?: Origin }, Row>(
  kind: DataKind<R, Row>,
  options: DataFileOptions
) {
  const { config } = yield* Policy
  const tokenizer = yield* Tokenizer
  if (tokenizer.vocabSize > config.vocabulary) {
    return yield* new VocabularyMismatch({
      tokenizer: tokenizer.name,
      tokenizerSize: tokenizer.vocabSize,
      modelSize: config.vocabulary
    })
  }
  const limit = { maxLength: Math.min(options.maxLength, config.maxPositions), policy: options.overlong }
  const units = yield* readUnits(kind, options.train, limit)
  const heldOut = options.eval === undefined ? [] : yield* readUnits(kind, options.eval, limit)
  const { batchSize, seed, shuffle } = options
  const sampler = yield* Effect.try({
    try: () => batchSampler({ rows: units.length, batchSize, seed, shuffle }),
    catch: (cause) => cause as TooFewRows
  })
  const dataset: Dataset<DataUnit & { readonly row: Row }> = {
    units,
    heldOut,
    sampler,
    split: microBatching(options),
    layout: options.packing ? "packed" : "padded-right",
    padId: tokenizer.padId
  }
  return dataset
})

const readUnits = Effect.fnUntraced(function* <R extends { readonly origin?: Origin }, Row>(
  kind: DataKind<R, Row>,
  file: string,
  limit: LengthLimit
) {
  const tokenizer = yield* Tokenizer
  const records = yield* kind.load(file)
  const { dropped, records: from, rows, supervisesStop, truncated } = yield* kind.tokenize(tokenizer, records, limit)
  const progress = yield* Progress
  yield* progress.note(
    `${file}: ${rows.length} of ${records.length} rows; ${truncated} cut to ${limit.maxLength} tokens, ${dropped} left out`
  )
  if (!supervisesStop) {
    yield* progress.note(`${file}: no row teaches the model to stop: none ends with an end-of-text token`)
  }
  return rows.map((row, i) => ({
    row,
    tokens: kind.tokens(row),
    origin: `${basename(file)}:${records[from[i]!]?.origin?.line ?? from[i]! + 1}`
  }))
})

const microBatching = ({ batchSize, microBatchSize, microBatchTokens }: DataFileOptions): MicroBatching =>
  microBatchTokens === undefined ? { count: microBatchSize ?? batchSize } : { tokens: microBatchTokens }
