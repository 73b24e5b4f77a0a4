import { describe, expect, it } from "vitest"
import { expectClose, gradientsOf, lossOf, onWasm, preferenceLossLaws, tablePair } from "../testing/preference-case.ts"
import { alphaDivergence, forwardKl, jensenShannon, reverseKl } from "./divergence.ts"
import { robust } from "./robust.ts"

describe("robust", () => {
  onWasm("equals the table, and costs ln 2 where policy = reference", () => {
    // [.9·softplus(−.15) − .1·softplus(.15)] / .8 in float64
    expectClose(lossOf(robust({ beta: 0.1, labelSmoothing: 0.1 }), tablePair), [0.6022070478], 1e-6)
    expectClose(lossOf(robust({ beta: 0.1, labelSmoothing: 0.3 }), { chosen: [0], rejected: [0] }), [Math.LN2], 1e-6)
  })

  onWasm("is negative for a pair far in the right order: labels that are sometimes wrong", () => {
    // z = 10: [.9·softplus(−10) − .1·softplus(10)] / .8 ≈ −1.249955
    expectClose(lossOf(robust({ beta: 1, labelSmoothing: 0.1 }), { chosen: [10], rejected: [0] }), [-1.2499546], 1e-6)
  })

  onWasm("has the gradient −β·[(1−ε)σ(−z) + ε·σ(z)] / (1−2ε)", () => {
    // z = 0: −β·½/(1−2ε) = −.1·.5/.8
    expectClose(
      gradientsOf(robust({ beta: 0.1, labelSmoothing: 0.1 }), { chosen: [0], rejected: [0] }).chosen,
      [-0.0625],
      1e-7
    )
  })

  it.each([0.5, 0.7, -0.1, Number.NaN])("refuses a label smoothing of %s", (labelSmoothing) => {
    expect(() => robust({ beta: 0.1, labelSmoothing })).toThrow(/is not in \[0, ½\)/)
  })

  for (const divergence of [reverseKl, forwardKl, jensenShannon, alphaDivergence(0.5)]) {
    describe(`with ${divergence.name}`, () =>
      preferenceLossLaws(robust({ beta: 0.1, labelSmoothing: 0.2, divergence })))
  }
})
