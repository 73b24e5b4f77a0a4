import { loadTriples, type TokenizedTriple, tripleDataset } from "@plumbline/data"
import type { Dataset } from "@plumbline/training"
import { Context, Layer } from "effect"
import { dataFromFiles, type DataFileOptions, dataKind } from "../data-file.ts"
import type { RowUnit } from "./reference-free-batch.ts"

/** Preference pairs with gold responses in files: prompt, chosen, rejected and reference. */
export const tripleFiles = dataKind({
  load: loadTriples,
  tokenize: tripleDataset,
  rows: ({ chosen, gold, rejected }: TokenizedTriple) => [chosen, rejected, gold]
})

/** What losses on triples learn from. */
export class TripleData extends Context.Service<TripleData, Dataset<RowUnit<TokenizedTriple>>>()(
  "@plumbline/algorithms/TripleData"
) {
  /** Rows of JSONL, gzipped JSONL or Parquet files. */
  static readonly layerFiles = (options: DataFileOptions) =>
    Layer.effect(TripleData, dataFromFiles(tripleFiles, options))
}
