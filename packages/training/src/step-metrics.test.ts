import { describe, expect, it } from "vitest"
import { metricsOf, type RecordLayout } from "./step-metrics.ts"

describe("the metrics of a step", () => {
  /** A micro-batch with a loss per token, and the extremes of as many values. */
  const record = (size: number): RecordLayout => ({
    origins: [],
    layout: [
      { name: "loss", unit: "tokens", weight: 2, size, extreme: undefined },
      { name: "least", unit: "tokens", weight: 1, size, extreme: "least" },
      { name: "greatest", unit: "tokens", weight: 1, size, extreme: "greatest" }
    ],
    observed: []
  })
  const found = (batches: ReadonlyArray<ReadonlyArray<number>>) => {
    const all = Float32Array.from(batches.flatMap((values) => [...values, ...values, ...values]))
    const records = batches.map(({ length }) => record(length))
    return metricsOf(records, all, { tokens: batches.flat().length })
  }

  it("are means and extremes over all micro-batches", () => {
    const metrics = { loss: (2 * (3 + 0 - 1 + 4)) / 4, least: -1, greatest: 4 }
    expect(found([[3, 0], [], [-1, 4]])).toEqual({ metrics, brokenOrigins: [] })
    expect(found([[0], [0]]).metrics).toEqual({ loss: 0, least: 0, greatest: 0 })
  })

  it("are of as many values as a micro-batch has tokens", () => {
    const values = Array.from({ length: 300_000 }, (_, i) => (i % 3) - 1)
    expect(found([values]).metrics).toEqual({ loss: 0, least: -1, greatest: 1 })
  })

  it("are NaN where a value is, and name the units whose loss is not finite", () => {
    const { brokenOrigins, metrics } = found([[1, Number.NaN, Infinity]])
    expect(metrics).toEqual({ loss: Number.NaN, least: Number.NaN, greatest: Number.NaN })
    expect(brokenOrigins).toEqual(["unit 1 of the batch", "unit 2 of the batch"])
  })
})
