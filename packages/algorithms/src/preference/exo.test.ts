import { describe, expect, it } from "vitest"
import { expectClose, gradientsOf, lossOf, onWasm, preferenceLossLaws, tablePair } from "../testing/preference-case.ts"
import { alphaDivergence, forwardKl, jensenShannon, reverseKl } from "./divergence.ts"
import { exo } from "./exo.ts"

describe("exo", () => {
  onWasm("equals the table", () => {
    // σ(.15)[log σ(.15) − log .999] + σ(−.15)[log σ(−.15) − log .001] in float64
    expectClose(lossOf(exo({ beta: 0.1, labelSmoothing: 1e-3 }), tablePair), [2.5055165555], 1e-6)
  })

  onWasm("is the KL to the smoothed label: 0 where σ(β·h) = 1 − ε, and nowhere below", () => {
    const loss = exo({ beta: 0.5, labelSmoothing: 0.2 })
    // β·h = ln 4: σ = 0.8; at h = 0 ½ln(½/.8) + ½ln(½/.2)
    const pairs = { chosen: [2 * Math.log(4), 0, -3], rejected: [0, 0, 2] }
    const [atLabel, atZero, wrong] = lossOf(loss, pairs)
    expectClose([atLabel!, atZero!], [0, 0.2231436], 1e-6)
    expect(wrong).toBeGreaterThan(0.3)
    expectClose(gradientsOf(loss, pairs).chosen.slice(0, 1), [0], 1e-6)
  })

  it.each([0, 0.5, -0.1])("refuses a label smoothing of %s", (labelSmoothing) => {
    expect(() => exo({ beta: 0.1, labelSmoothing })).toThrow(/label smoothing/)
  })

  for (const divergence of [reverseKl, forwardKl, jensenShannon, alphaDivergence(0.5)]) {
    describe(`with ${divergence.name}`, () => preferenceLossLaws(exo({ beta: 0.1, labelSmoothing: 1e-3, divergence })))
  }
})
