import { describe, expect, it } from "vitest"
import { expectClose, onWasm } from "../testing/preference-case.ts"
import { responseGradients, responseLosses, tableResponses, unpairedLossLaws } from "../testing/unpaired-case.ts"
import { apoZeroUnpaired } from "./apo-zero-unpaired.ts"
import { kto } from "./kto.ts"

describe("kto", () => {
  onWasm("equals the table", () => {
    // β = .1, z = .3: 1 − σ(.07) and 1 − σ(.08), in float64
    expectClose(
      responseLosses(kto({ beta: 0.1 }), { ...tableResponses, baseline: 0.3 }),
      [0.4825071423, 0.4800106598],
      1e-6
    )
  })

  onWasm("weighs the classes apart", () => {
    const loss = kto({ beta: 0.1, desirableWeight: 1.5, undesirableWeight: 0.25 })
    const expected = [1.5 * 0.4825071423, 0.25 * 0.4800106598]
    expectClose(responseLosses(loss, { ...tableResponses, baseline: 0.3 }), expected, 1e-6)
    // ∓λ·β·σ(x)·σ(−x): 1.5·.1·.2496940 and .25·.1·.2496004
    const slopes = responseGradients(loss, { ...tableResponses, baseline: 0.3 })
    expectClose(slopes, [-0.0374541, 0.00624], 1e-6)
  })

  onWasm("costs half its class's weight where the log-ratio is z", () => {
    const at = { logRatios: [2, 2], desirable: [1, 0], baseline: 2 }
    expectClose(responseLosses(kto({ beta: 0.5, undesirableWeight: 3 }), at), [0.5, 1.5], 1e-6)
  })

  it("takes z as a mean over the mismatched responses, never below 0", () => {
    const { baseline } = kto({ beta: 0.1 })
    expect(baseline).toMatchObject({ metric: "kl", over: "mismatched" })
    expect(baseline.of(Float32Array.of(3, -1, 1), {})).toBe(1)
    expect(baseline.of(Float32Array.of(-3, 1, 0), {})).toBe(0)
  })

  it.each([-1, Number.NaN, Infinity])("refuses a class that weighs %s", (weight) => {
    expect(() => kto({ beta: 0.1, desirableWeight: weight })).toThrow(/weighs 0 or more/)
    expect(() => apoZeroUnpaired({ beta: 0.1, undesirableWeight: weight })).toThrow(/weighs 0 or more/)
  })

  it("refuses two classes that weigh nothing", () => {
    expect(() => kto({ beta: 0.1, desirableWeight: 0, undesirableWeight: 0 })).toThrow(/both classes weigh 0/)
    expect(kto({ beta: 0.1, desirableWeight: 0 }).options).toMatchObject({ undesirableWeight: 1 })
  })

  unpairedLossLaws(kto({ beta: 0.3, desirableWeight: 2 }))
})

describe("apo-zero-unpaired", () => {
  onWasm("is the two halves of apo-zero, whatever the baseline", () => {
    // 1 − σ(.1) + σ(−.05) = .9625234160, the table's apo_zero
    const losses = responseLosses(apoZeroUnpaired({ beta: 0.1 }), { ...tableResponses, baseline: 9 })
    expectClose(losses, [0.4750208125, 0.4875026035], 1e-6)
  })

  onWasm("weighs the classes apart", () => {
    const loss = apoZeroUnpaired({ beta: 0.1, desirableWeight: 2, undesirableWeight: 0.5 })
    expectClose(responseLosses(loss, { ...tableResponses, baseline: 0 }), [2 * 0.4750208125, 0.5 * 0.4875026035], 1e-6)
  })

  unpairedLossLaws(apoZeroUnpaired({ beta: 0.3 }))
})
