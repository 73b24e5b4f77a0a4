import { loadPreferences, preferenceDataset, type TokenizedPreference } from "@plumbline/data"
import type { Dataset, DataUnit } from "@plumbline/training"
import { Context, Layer } from "effect"
import { dataFromFiles, type DataFileOptions, dataKind } from "../data-file.ts"

/** A tokenized preference pair. */
export interface PairUnit extends DataUnit {
  readonly row: TokenizedPreference
}

/** Preference pairs in files: prompt, chosen and rejected. */
export const pairFiles = dataKind({
  load: loadPreferences,
  tokenize: preferenceDataset,
  rows: ({ chosen, rejected }: TokenizedPreference) => [chosen, rejected]
})

/** What preference losses learn from. */
export class PreferenceData extends Context.Service<PreferenceData, Dataset<PairUnit>>()(
  "@plumbline/algorithms/PreferenceData"
) {
  /** Rows of JSONL, gzipped JSONL or Parquet files. */
  static readonly layerFiles = (options: DataFileOptions) =>
    Layer.effect(PreferenceData, dataFromFiles(pairFiles, options))
}
