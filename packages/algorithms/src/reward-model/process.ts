import { collate } from "@plumbline/data"
import type { ScalarModel } from "@plumbline/models"
import { type JudgedSteps, processObjective, RewardModel } from "@plumbline/reward-model"
import { type Algorithm, type Dataset, splitUnits, unitBatches } from "@plumbline/training"
import { Effect, Stream } from "effect"
import { DataUnfit } from "../data-unfit.ts"
import { StepwiseData, type StepwiseUnit } from "./reward-data.ts"

/**
 * A process reward model from responses whose steps are judged. Fails with `DataUnfit` where no step is, or the head has
 * several scores.
 */
export const processReward: Algorithm<
  { readonly reward: ScalarModel },
  JudgedSteps,
  DataUnfit,
  RewardModel | StepwiseData
> = {
  name: "process_reward",
  config: {},
  trainable: Effect.map(RewardModel, (reward) => ({ reward })),
  stepsPerEpoch: Effect.map(StepwiseData, ({ sampler }) => sampler.stepsPerEpoch),
  check: Effect.gen(function* () {
    const { attributes } = (yield* RewardModel).head
    const unfit = (reason: string) => new DataUnfit({ algorithm: "process_reward", reason })
    if (attributes.length > 1)
      return yield* unfit(`scores a step by one number, and the head gives ${attributes.length}`)
    const { units } = yield* StepwiseData
    if (units.every(({ row }) => row.labels.every(Number.isNaN))) return yield* unfit("no step has a label")
  }),
  experience: (position) =>
    Stream.unwrap(
      Effect.map(StepwiseData, (data) =>
        unitBatches(data.units, data.sampler, data.split, position).pipe(
          Stream.map((microBatches) => microBatches.map((units) => judgedSteps(data, units)))
        )
      )
    ),
  heldOut: Effect.map(StepwiseData, (data) =>
    splitUnits(data.heldOut, data.split).map((units) => judgedSteps(data, units))
  ),
  objective: processObjective
}

/** Units as rows of one batch, with the places where their judged steps end. */
export const judgedSteps = (
  data: Pick<Dataset<StepwiseUnit>, "layout" | "padId">,
  units: ReadonlyArray<StepwiseUnit>
): JudgedSteps => {
  const rows = collate(
    units.map(({ row }) => row),
    data
  )
  const ends = units.flatMap(({ row }, r) => {
    const places = Array.from(row.ids.keys()).filter((t) => row.lossMask[t] === 1)
    return places.map((t, step) => ({ index: rows.starts[r]! + t, row: r, label: row.labels[step]! }))
  })
  const judged = ends.filter(({ label }) => !Number.isNaN(label))
  return {
    rows,
    steps: {
      index: Int32Array.from(judged, ({ index }) => index),
      rows: Int32Array.from(judged, ({ row }) => row),
      labels: Float32Array.from(judged, ({ label }) => label)
    },
    tokens: units.reduce((total, { tokens }) => total + tokens, 0),
    origins: units.map(({ origin }) => origin)
  }
}
