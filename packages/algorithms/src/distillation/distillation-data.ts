import {
  attempt,
  loadSupervised,
  readRows,
  RowTooLong,
  NoRowsLeft,
  supervisedDataset,
  type LengthLimit
} from "@plumbline/data"
import type { Dataset, DataUnit } from "@plumbline/training"
import { Context, Effect, Layer } from "effect"
import { dataFromFiles, type DataFileOptions, type DataKind, dataKind, type ReadUnits } from "../data-file.ts"
import { cutTaught, isStored, storedRow, type TaughtRow } from "./stored-logits.ts"

export interface TaughtUnit extends DataUnit {
  readonly row: TaughtRow
}

const demonstrations = dataKind({
  load: loadSupervised,
  tokenize: supervisedDataset,
  rows: (row: TaughtRow) => [row]
})

/** Rows with a teacher's logits, as `plumb teacher-logits` writes them, or demonstrations without. */
export const taughtFiles: DataKind<TaughtRow> = {
  rows: (row) => [row],
  read: Effect.fnUntraced(function* (tokenizer, file, limit) {
    const rows = yield* readRows(file)
    if (!isStored(rows[0]!)) return yield* demonstrations.read(tokenizer, file, limit)
    const stored = yield* attempt(() => rows.map(storedRow))
    return yield* fitted(
      stored,
      rows.map(({ line }) => line),
      file,
      limit
    )
  })
}

const fitted = Effect.fnUntraced(function* (
  stored: ReadonlyArray<TaughtRow>,
  lines: ReadonlyArray<number>,
  file: string,
  { maxLength, policy }: LengthLimit
) {
  const long = stored.findIndex(({ ids }) => ids.length > maxLength)
  if (long >= 0 && policy === "error") {
    return yield* new RowTooLong({ file, line: lines[long]!, tokens: stored[long]!.ids.length, maxLength })
  }
  const isLong = ({ ids }: TaughtRow) => ids.length > maxLength
  const cut = stored.map((row) => (isLong(row) && policy === "truncate" ? cutTaught(row, maxLength) : row))
  const kept = [...cut.keys()].filter((i) => !isLong(cut[i]!) && cut[i]!.lossMask.includes(1))
  const dropped = stored.length - kept.length
  if (kept.length === 0) return yield* new NoRowsLeft({ file, dropped, maxLength })
  const units: ReadUnits<TaughtRow> = {
    dataset: {
      rows: kept.map((i) => cut[i]!),
      records: Int32Array.from(kept),
      truncated: kept.filter((i) => isLong(stored[i]!)).length,
      dropped,
      supervisesStop: true
    },
    total: stored.length,
    lines: kept.map((i) => lines[i]!)
  }
  return units
})

/** What a student learns from. */
export class DistillationData extends Context.Service<DistillationData, Dataset<TaughtUnit>>()(
  "@plumbline/algorithms/DistillationData"
) {
  static readonly layerFiles = (options: DataFileOptions) =>
    Layer.effect(DistillationData, dataFromFiles(taughtFiles, options))
}
