import {
  attempt,
  DoubledBos,
  hasDoubledBos,
  loadPrompts,
  NoRowsLeft,
  type PromptRecord,
  RowTooLong,
  renderingRow,
  tokenizePrompt,
  type TokenizerShape
} from "@plumbline/data"
import type { LengthLimit, TokenizedRow } from "@plumbline/data"
import type { Dataset, DataUnit } from "@plumbline/training"
import { Context, Effect, Layer } from "effect"
import { dataFromFiles, type DataFileOptions, type DataKind } from "../data-file.ts"

/** A prompt to respond to; none of its tokens is scored. */
export interface PromptRow extends TokenizedRow {
  readonly record: PromptRecord
}

export interface PromptUnit extends DataUnit {
  readonly row: PromptRow
}

/** Prompts in files; the other fields of a row are there for rewards. A prompt that leaves no room for a response is left out. */
export const promptFiles: DataKind<PromptRow> = {
  rows: (row) => [row],
  read: Effect.fnUntraced(function* (tokenizer, file, limit) {
    const records = yield* loadPrompts(file)
    const rows = yield* attempt(() => records.map((record) => promptRow(tokenizer, record)))
    const doubled = rows.find(({ ids }) => hasDoubledBos(tokenizer, ids))
    if (doubled !== undefined) return yield* new DoubledBos({ file, line: lineOf(doubled) })
    const tooLong = rows.find(({ ids }) => ids.length >= limit.maxLength)
    if (tooLong !== undefined && limit.policy === "error") return yield* refused(tooLong, file, limit)
    const kept = rows.filter(({ ids }) => ids.length < limit.maxLength)
    const dropped = rows.length - kept.length
    if (kept.length === 0) return yield* new NoRowsLeft({ file, dropped, maxLength: limit.maxLength })
    const numbers = Int32Array.from(kept, (row) => rows.indexOf(row))
    const dataset = { rows: kept, records: numbers, truncated: 0, dropped, supervisesStop: true }
    return { dataset, total: records.length, lines: Array.from(numbers, (n) => records[n]!.origin?.line ?? n + 1) }
  })
}

const promptRow = (tokenizer: TokenizerShape, record: PromptRecord): PromptRow => {
  const ids = renderingRow(record.origin, () => promptIds(tokenizer, record))
  return { ids, lossMask: new Uint8Array(ids.length), record }
}

const promptIds = (tokenizer: TokenizerShape, record: PromptRecord): Int32Array => {
  if (record.kind === "ids") return record.ids
  return tokenizePrompt(tokenizer, record.kind === "text" ? record.text : record.messages)
}

const refused = (row: PromptRow, file: string, { maxLength }: LengthLimit) =>
  new RowTooLong({ file, line: lineOf(row), tokens: row.ids.length, maxLength })

const lineOf = ({ record }: PromptRow): number => record.origin?.line ?? 0

/** What algorithms that write their own responses respond to. */
export class PromptData extends Context.Service<PromptData, Dataset<PromptUnit>>()("@plumbline/algorithms/PromptData") {
  /** Rows of JSONL, gzipped JSONL or Parquet files. */
  static readonly layerFiles = (options: DataFileOptions) =>
    Layer.effect(PromptData, dataFromFiles(promptFiles, options))
}
