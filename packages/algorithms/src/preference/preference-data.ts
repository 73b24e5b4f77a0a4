import { loadPreferences, preferenceDataset, type TokenizedPreference } from "@plumbline/data"
import type { Dataset, DataUnit } from "@plumbline/training"
import { Context, Layer } from "effect"
import { dataFromFiles, type DataFileOptions } from "../data-file.ts"

/** A tokenized preference pair. */
export interface PairUnit extends DataUnit {
  readonly row: TokenizedPreference
}

/** What preference losses learn from. */
export class PreferenceData extends Context.Service<PreferenceData, Dataset<PairUnit>>()(
  "@plumbline/algorithms/PreferenceData"
) {
  /** Rows of JSONL, gzipped JSONL or Parquet files: prompt, chosen and rejected. */
  static readonly layerFiles = (options: DataFileOptions) =>
    Layer.effect(
      PreferenceData,
      dataFromFiles(
        {
          load: loadPreferences,
          tokenize: preferenceDataset,
          tokens: ({ chosen, rejected }: TokenizedPreference) => chosen.ids.length + rejected.ids.length
        },
        options
      )
    )
}
