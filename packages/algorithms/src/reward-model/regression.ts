import { collate } from "@plumbline/data"
import type { ScalarModel } from "@plumbline/models"
import { type GradedRows, regressionObjective, RewardModel } from "@plumbline/reward-model"
import { type Algorithm, type Dataset, splitUnits, unitBatches } from "@plumbline/training"
import { Effect, Stream } from "effect"
import { DataUnfit } from "../data-unfit.ts"
import { GradedData, type GradedUnit } from "./reward-data.ts"

/**
 * A model of attributes from graded rows. Fails with `DataUnfit` where no row grades one of them: its name is wrong, then.
 */
export const attributeRegression: Algorithm<
  { readonly reward: ScalarModel },
  GradedRows,
  DataUnfit,
  RewardModel | GradedData
> = {
  name: "regression",
  config: {},
  trainable: Effect.map(RewardModel, (reward) => ({ reward })),
  stepsPerEpoch: Effect.map(GradedData, ({ sampler }) => sampler.stepsPerEpoch),
  check: Effect.flatMap(GradedData, ({ attributes, units }) => {
    const ungraded = attributes.filter((_, k) => units.every(({ row }) => Number.isNaN(row.grades[k])))
    const reason = `no row has a grade of ${ungraded.join(", ")}; --attributes names those to learn`
    return ungraded.length === 0 ? Effect.void : Effect.fail(new DataUnfit({ algorithm: "regression", reason }))
  }),
  experience: (position) =>
    Stream.unwrap(
      Effect.map(GradedData, (data) =>
        unitBatches(data.units, data.sampler, data.split, position).pipe(
          Stream.map((microBatches) => microBatches.map((units) => gradedRows(data, units)))
        )
      )
    ),
  heldOut: Effect.map(GradedData, (data) =>
    splitUnits(data.heldOut, data.split).map((units) => gradedRows(data, units))
  ),
  objective: regressionObjective
}

/** Graded units as rows of one batch. */
export const gradedRows = (
  data: Pick<Dataset<GradedUnit>, "layout" | "padId"> & { readonly attributes: ReadonlyArray<string> },
  units: ReadonlyArray<GradedUnit>
): GradedRows => ({
  rows: collate(
    units.map(({ row }) => row),
    data
  ),
  attributes: data.attributes,
  grades: Float32Array.from(units.flatMap(({ row }) => [...row.grades])),
  tokens: units.reduce((total, { tokens }) => total + tokens, 0),
  origins: units.map(({ origin }) => origin)
})
