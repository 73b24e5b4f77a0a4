import {
  gradedDataset,
  type GradedRecord,
  type GradedRow,
  type JudgedRecord,
  loadGraded,
  loadJudged,
  loadStepwise,
  stepwiseDataset,
  type StepwiseRow
} from "@plumbline/data"
import { RewardModel } from "@plumbline/reward-model"
import type { Dataset, DataUnit } from "@plumbline/training"
import { Context, Effect, Layer } from "effect"
import { type DataFileOptions, dataKind, modelDataFromFiles } from "../data-file.ts"
import { pairFiles, PreferenceData } from "../preference/preference-data.ts"

/** Preference pairs in files, for a reward model. */
export const rewardPairs = (options: DataFileOptions) =>
  Layer.effect(
    PreferenceData,
    Effect.flatMap(RewardModel, (model) => modelDataFromFiles({ ...pairFiles, judged: true }, options, model))
  )

export interface GradedUnit extends DataUnit {
  readonly row: GradedRow
}

/** Graded rows in files. */
export const gradedFiles = (attributes: ReadonlyArray<string>) =>
  dataKind({ load: loadGraded(attributes), tokenize: gradedDataset, rows: (row: GradedRow) => [row], judged: true })

/** The same rows where only their lengths matter, and no grade is read. */
export const ungradedFiles = dataKind({
  load: (file: string) =>
    Effect.map(loadJudged(file), (records) =>
      records.map((judged): GradedRecord => ({ judged, grades: new Float32Array(0), ...originOf(judged) }))
    ),
  tokenize: gradedDataset,
  rows: (row: GradedRow) => [row]
})

const originOf = ({ origin }: JudgedRecord) => (origin === undefined ? {} : { origin })

/** What a model of attributes learns from. */
export class GradedData extends Context.Service<
  GradedData,
  Dataset<GradedUnit> & { readonly attributes: ReadonlyArray<string> }
>()("@plumbline/algorithms/GradedData") {
  /** Rows of JSONL, gzipped JSONL or Parquet files, with the attributes of the model's head. */
  static readonly layerFiles = (options: DataFileOptions) =>
    Layer.effect(
      GradedData,
      Effect.gen(function* () {
        const model = yield* RewardModel
        const { attributes } = model.head
        const data = yield* modelDataFromFiles(gradedFiles(attributes), options, model)
        return { ...data, attributes }
      })
    )
}

export interface StepwiseUnit extends DataUnit {
  readonly row: StepwiseRow
}

/** Responses in judged steps, in files. */
export const stepwiseFiles = (separator: string) =>
  dataKind({
    load: loadStepwise,
    tokenize: stepwiseDataset(separator),
    rows: (row: StepwiseRow) => [row],
    judged: true
  })

/** What a process reward model learns from. */
export class StepwiseData extends Context.Service<StepwiseData, Dataset<StepwiseUnit>>()(
  "@plumbline/algorithms/StepwiseData"
) {
  static readonly layerFiles = (options: DataFileOptions & { readonly stepSeparator: string }) =>
    Layer.effect(
      StepwiseData,
      Effect.flatMap(RewardModel, (model) => modelDataFromFiles(stepwiseFiles(options.stepSeparator), options, model))
    )
}
