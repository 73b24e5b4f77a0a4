import { describe, expect, it } from "@effect/vitest"
import type { RowLayout } from "@plumbline/data"
import { createScalarModel, llama, type ScalarModel } from "@plumbline/models"
import { type GradedRows, type JudgedSteps, processObjective, regressionObjective } from "@plumbline/reward-model"
import { ModelRuntime, tf, type Tensor2D } from "@plumbline/runtime"
import { accumulate, evaluate } from "@plumbline/training"
import { objectiveLaws } from "@plumbline/training/testing"
import { Effect } from "effect"
import { row, unevenRows, VOCABULARY } from "../testing/small-models.ts"
import { judgedSteps } from "./process.ts"
import { gradedRows } from "./regression.ts"
import type { GradedUnit, StepwiseUnit } from "./reward-data.ts"

const table = {
  family: llama,
  vocabulary: VOCABULARY,
  width: 16,
  layers: 2,
  heads: 4,
  mlpWidth: 24,
  maxPositions: 32,
  settings: { initializer_range: 0.3 }
}
const model = (attributes: ReadonlyArray<string>) => createScalarModel(table, { attributes, pooling: "last" }, 5)
const unit = <Row extends { readonly ids: Int32Array }>(one: Row, i: number) => ({
  row: one,
  tokens: one.ids.length,
  origin: `row ${i}`
})

/** A head whose answers are given, on no body at all. */
const answering = (scores: () => Tensor2D): ScalarModel =>
  ({ variables: [], rowScores: scores, tokenScores: scores }) as never

const onWasm = (name: string, body: () => void) =>
  it.effect(name, () => Effect.sync(body).pipe(Effect.provide(ModelRuntime.layerWasm)))

const NONE = Number.NaN

describe("regressionObjective", () => {
  const attributes = ["good", "long"]
  const grades = [
    [1, 3],
    [NONE, 2],
    [0, NONE],
    [NONE, NONE],
    [2, 2],
    [4, 0]
  ]
  const units = unevenRows.map((one, i): GradedUnit => unit({ ...one, grades: Float32Array.from(grades[i]!) }, i))
  const batch = (some: ReadonlyArray<GradedUnit>, layout: RowLayout = "packed"): GradedRows =>
    gradedRows({ layout, padId: 0, attributes }, some)

  objectiveLaws("regression with missing grades", {
    objective: regressionObjective,
    models: () => ({ reward: model(attributes) }),
    splits: () => [
      [batch(units)],
      units.map((one) => batch([one])),
      [batch(units.slice(0, 1)), batch(units.slice(1))],
      [batch(units, "padded-left")]
    ],
    scale: 1
  })

  onWasm("is the mean square over grades that are there, of all micro-batches together", () => {
    // predictions 2 everywhere: errors of "good" 1, 2, 0, −2; of "long" −1, 0, 0, 2
    const twos = answering(() => tf.tensor2d([[2, 2]]))
    const { metrics } = evaluate(
      regressionObjective,
      { reward: twos },
      units.map((one) => batch([one]))
    )
    expect(metrics["loss"]).toBeCloseTo((1 + 4 + 0 + 4 + 1 + 0 + 0 + 4) / 8, 6)
    expect(metrics["mse/good"]).toBeCloseTo(9 / 4, 6)
    expect(metrics["mse/long"]).toBeCloseTo(5 / 4, 6)
  })

  onWasm("has gradient 2·(ŷ − y)/n, and none where a grade is missing", () => {
    const scores = tf.variable(
      tf.tensor2d([
        [2, 2],
        [2, 2]
      ])
    )
    const reward = { ...answering(() => tf.mul(scores, 1) as Tensor2D), variables: [scores] }
    const { gradients } = accumulate(regressionObjective, { reward }, [batch(units.slice(0, 2))])
    // three grades: 1, 3 and 2 of the second row's second
    const found = [...Object.values(gradients)[0]!.dataSync()]
    for (const [i, value] of [2 / 3, -2 / 3, 0, 0].entries()) expect(found[i]).toBeCloseTo(value, 6)
    tf.dispose([scores, ...Object.values(gradients)])
  })
})

describe("processObjective", () => {
  /** Steps end where the mask is 1. */
  const stepped = (ids: ReadonlyArray<number>, ends: ReadonlyArray<number>, labels: ReadonlyArray<number>) => ({
    ids: Int32Array.from(ids),
    lossMask: Uint8Array.from(ids, (_, t) => (ends.includes(t) ? 1 : 0)),
    labels: Float32Array.from(labels)
  })
  const units = [
    stepped([1, 2, 3, 4, 5], [2, 4], [1, 0]),
    stepped([6, 7, 8], [2], [1]),
    stepped([5, 4, 3, 2, 1, 6, 7, 8], [2, 4, 7], [0, NONE, 1]),
    stepped([9, 9], [1], [NONE])
  ].map((one, i): StepwiseUnit => unit(one, i))
  const batch = (some: ReadonlyArray<StepwiseUnit>, layout: RowLayout = "packed"): JudgedSteps =>
    judgedSteps({ layout, padId: 0 }, some)

  objectiveLaws("process reward", {
    objective: processObjective,
    models: () => ({ reward: model(["reward"]) }),
    splits: () => [[batch(units)], [batch(units.slice(0, 2)), batch(units.slice(2))], [batch(units, "padded-left")]],
    scale: 1
  })

  onWasm("is the cross-entropy of each judged step, where it ends", () => {
    const { rows, steps } = batch(units, "padded-right")
    // rows of 8: the places of the mask, without the two unjudged ones
    expect([...steps.index]).toEqual([2, 4, 10, 18, 23])
    expect([...steps.labels]).toEqual([1, 0, 1, 0, 1])
    const scores = answering(() => tf.tensor2d([[1], [1], [-2], [0], [1e4]]))
    const { metrics } = evaluate(processObjective, { reward: scores }, [{ ...batch(units), rows, steps }])
    // −ln σ of 1, −1, −2, 0 and 10⁴
    expect(metrics["loss"]).toBeCloseTo((0.3132617 + 1.3132617 + 2.126928 + Math.LN2 + 0) / 5, 5)
    expect(metrics["accuracy"]).toBeCloseTo(2 / 5, 6)
  })

  onWasm("pushes a right step up by σ(−s) and a wrong one down by σ(s)", () => {
    const scores = tf.variable(tf.tensor2d([[1], [1]]))
    const reward = { ...answering(() => tf.mul(scores, 1) as Tensor2D), variables: [scores] }
    const { gradients } = accumulate(processObjective, { reward }, [batch(units.slice(0, 1))])
    const found = [...Object.values(gradients)[0]!.dataSync()]
    expect(found[0]).toBeCloseTo(-0.2689414 / 2, 6)
    expect(found[1]).toBeCloseTo(0.7310586 / 2, 6)
    tf.dispose([scores, ...Object.values(gradients)])
  })

  it("rows without a mask have no step", () =>
    expect(batch([{ ...unit({ ...row([1, 2], 2), labels: new Float32Array(0) }, 0) }]).steps.index.length).toBe(0))
})
