import { collate } from "@plumbline/data"
import { createScalarModel, llama, type ScalarModel } from "@plumbline/models"
import { tf, type Tensor, type Tensor1D } from "@plumbline/runtime"
import { evaluate } from "@plumbline/training"
import { objectiveLaws } from "@plumbline/training/testing"
import { describe, expect } from "vitest"
import { expectClose, onWasm } from "../../testing/preference-case.ts"
import { unevenRows } from "../../testing/small-models.ts"
import { tokenValues, valueBatch, valueLosses, valueObjective } from "./value-objective.ts"

const critic = (): ScalarModel =>
  createScalarModel(
    {
      family: llama,
      vocabulary: 13,
      width: 16,
      layers: 2,
      heads: 4,
      keyValueHeads: 2,
      mlpWidth: 24,
      maxPositions: 32,
      settings: { initializer_range: 0.3 }
    },
    { attributes: ["value"], pooling: "last" },
    7
  )

const at = (value: number, clipRange: number) =>
  tf.tidy(() => {
    const loss = (values: Tensor) =>
      valueLosses(values as Tensor1D, Float32Array.of(0.2), Float32Array.of(1), clipRange)
    const values = tf.tensor1d([value])
    return [
      loss(values).dataSync()[0]!,
      tf
        .grad((x: Tensor) => tf.sum(loss(x)))(values)
        .dataSync()[0]!
    ] as const
  })

describe("the value loss", () => {
  // V_old .2, R 1: half of the larger square
  onWasm("is .18 at V = .5 with c = .2, where the bound keeps it from gaining", () => {
    // clip(.5) = .4, ½·.6² > ½·.5²: no gradient
    expectClose([...at(0.5, 0.2)], [0.18, 0], 1e-6)
  })
  onWasm("is .125 with c = .5, with the gradient V − R", () => expectClose([...at(0.5, 0.5)], [0.125, -0.5], 1e-6))
  onWasm("is ½(V − R)² without a bound", () => expectClose([...at(0.9, 0)], [0.005, -0.1], 1e-6))
  onWasm("keeps its gradient where values moved away from the return", () => {
    // clip(−.5) = 0: ½ < ½·1.5²
    expectClose([...at(-0.5, 0.2)], [1.125, -1.5], 1e-6)
  })

  onWasm("is on the state before each counted token", () => {
    const model = critic()
    const row = unevenRows[0]!
    const rows = collate([row], { layout: "packed", padId: 0 })
    const values = tf.tidy(() => [...tokenValues(model, rows).dataSync()])
    // prompt of two, response of three: predicted from positions 1, 2, 3
    const scores = tf.tidy(() => [...model.tokenScores(rows, Int32Array.of(1, 2, 3)).dataSync()])
    expectClose(values, scores, 0)
    // what comes later says nothing about it
    const cut = collate([{ ids: row.ids.slice(0, 4), lossMask: row.lossMask.slice(0, 4) }], {
      layout: "packed",
      padId: 0
    })
    expectClose(
      tf.tidy(() => [...tokenValues(model, cut).dataSync()]),
      scores.slice(0, 2),
      1e-6
    )
    const returns = Float32Array.of(1, 2, 3)
    const batch = valueBatch([{ row, origin: "a", oldValues: returns, returns }], { layout: "packed", padId: 0 })
    const { metrics } = evaluate(valueObjective(0), { critic: model }, [batch])
    const expected = values.reduce((sum, value, t) => sum + (value - returns[t]!) ** 2 / 2, 0) / 3
    expect(metrics["loss"]).toBeCloseTo(expected, 5)
    model.dispose()
  })
})

const numbers = (r: number, length: number, salt: number) =>
  Float32Array.from({ length }, (_, t) => Math.sin(3 * t + r + salt))

objectiveLaws("values", {
  objective: valueObjective(0.3),
  models: () => ({ critic: critic() }),
  splits: () => {
    const row = (r: number) => {
      const own = unevenRows[r]!
      const length = own.lossMask.reduce((sum, counts) => sum + counts, 0)
      return { row: own, origin: `row ${r}`, oldValues: numbers(r, length, 0), returns: numbers(r, length, 1) }
    }
    const batch = (rows: ReadonlyArray<number>, layout: "packed" | "padded-left" = "packed") =>
      valueBatch(rows.map(row), { layout, padId: 0 })
    return [
      [batch([0, 1, 2, 3, 4, 5])],
      [0, 1, 2, 3, 4, 5].map((r) => batch([r])),
      [batch([5, 3]), batch([0, 1, 2, 4], "padded-left")]
    ]
  }
})
