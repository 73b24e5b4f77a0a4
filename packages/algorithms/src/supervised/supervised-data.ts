import { loadSupervised, supervisedDataset, type TokenizedRow } from "@plumbline/data"
import type { Dataset, DataUnit } from "@plumbline/training"
import { Context, Layer } from "effect"
import { dataFromFiles, type DataFileOptions, dataKind } from "../data-file.ts"

/** A tokenized demonstration. */
export interface SupervisedUnit extends DataUnit {
  readonly row: TokenizedRow
}

/** Demonstrations in files: prompt and completion, messages, or text. */
export const demonstrationFiles = dataKind({
  load: loadSupervised,
  tokenize: supervisedDataset,
  rows: (row: TokenizedRow) => [row]
})

/** What supervised fine-tuning learns from. */
export class SupervisedData extends Context.Service<SupervisedData, Dataset<SupervisedUnit>>()(
  "@plumbline/algorithms/SupervisedData"
) {
  /** Rows of JSONL, gzipped JSONL or Parquet files. */
  static readonly layerFiles = (options: DataFileOptions) =>
    Layer.effect(SupervisedData, dataFromFiles(demonstrationFiles, options))
}
