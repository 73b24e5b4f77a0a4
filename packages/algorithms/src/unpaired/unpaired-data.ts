import { loadUnpaired, openedUnpairedDataset, unpairedDataset, type UnpairedRow } from "@plumbline/data"
import type { Dataset, DataUnit } from "@plumbline/training"
import { Context, Layer } from "effect"
import { dataFromFiles, type DataFileOptions, dataKind } from "../data-file.ts"

/** A tokenized response, desirable or not. */
export interface UnpairedUnit extends DataUnit {
  readonly row: UnpairedRow
}

/** Judged responses in files: prompt, completion and label; a pair gives two. */
export const unpairedFiles = dataKind({
  load: loadUnpaired,
  tokenize: unpairedDataset,
  rows: (row: UnpairedRow) => [row]
})

/** The same, every row beginning with BOS where the tokenizer has one, as TRL's BCO reads them. */
export const openedUnpairedFiles = dataKind({
  load: loadUnpaired,
  tokenize: openedUnpairedDataset,
  rows: (row: UnpairedRow) => [row]
})

/** What unpaired losses learn from. */
export class UnpairedData extends Context.Service<UnpairedData, Dataset<UnpairedUnit>>()(
  "@plumbline/algorithms/UnpairedData"
) {
  /** Rows of JSONL, gzipped JSONL or Parquet files. */
  static readonly layerFiles = (options: DataFileOptions) =>
    Layer.effect(UnpairedData, dataFromFiles(unpairedFiles, options))
}
