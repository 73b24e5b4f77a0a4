import { describe, expect, it } from "vitest"
import { TooFewRows } from "./errors.ts"
import { batchSampler, epochOrder } from "./sampler.ts"

describe("epochOrder", () => {
  it("is a permutation, another one each epoch and seed", () => {
    const sorted = Array.from({ length: 100 }, (_, row) => row)
    const orders = [epochOrder(100, 0, 1, true), epochOrder(100, 1, 1, true), epochOrder(100, 0, 2, true)]
    for (const order of orders) expect([...order].toSorted((a, b) => a - b)).toEqual(sorted)
    expect(new Set(orders.map((order) => order.join())).size).toBe(3)
    expect(epochOrder(100, 0, 1, true)).toEqual(orders[0])
  })

  it("keeps the file's order without shuffling", () => {
    expect([...epochOrder(4, 3, 9, false)]).toEqual([0, 1, 2, 3])
  })

  it("puts each row first about equally often", () => {
    const first = [0, 0, 0, 0]
    for (let epoch = 0; epoch < 4000; epoch++) first[epochOrder(4, epoch, 5, true)[0]!]!++
    // binomial(4000, 1/4): mean 1000, standard deviation 27; five of them
    for (const count of first) expect(Math.abs(count - 1000)).toBeLessThan(137)
  })
})

describe("batchSampler", () => {
  it("drops the rows that do not fill a batch", () => {
    const sampler = batchSampler({ rows: 10, batchSize: 4, seed: 0, shuffle: false })
    expect(sampler.stepsPerEpoch).toBe(2)
    expect([0, 1, 2, 3].map((step) => [...sampler.indices(step)])).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
      [0, 1, 2, 3],
      [4, 5, 6, 7]
    ])
  })

  it("is a function of the step: a resumed run reads the same rows (bug class 16)", () => {
    const options = { rows: 23, batchSize: 5, seed: 7, shuffle: true }
    const whole = batchSampler(options)
    const uninterrupted = Array.from({ length: 12 }, (_, step) => [...whole.indices(step)])
    const resumed = batchSampler(options)
    for (const step of [9, 10, 11, 0]) expect([...resumed.indices(step)]).toEqual(uninterrupted[step])
    const epoch = uninterrupted.slice(0, whole.stepsPerEpoch).flat()
    expect(new Set(epoch).size).toBe(20)
  })

  it("refuses a batch larger than the dataset", () => {
    expect(() => batchSampler({ rows: 3, batchSize: 4, seed: 0, shuffle: true })).toThrow(TooFewRows)
    expect(() => batchSampler({ rows: 3, batchSize: 4, seed: 0, shuffle: true })).toThrow(
      "3 rows do not fill one batch of 4"
    )
  })
})
