import { describe } from "vitest"
import { expectClose, lossOf, onWasm, preferenceLossLaws, tablePair } from "../testing/preference-case.ts"
import { alphaDivergence, forwardKl, jensenShannon, reverseKl } from "./divergence.ts"
import { discopop } from "./discopop.ts"

describe("discopop", () => {
  onWasm("equals the table, and costs ½·ln 2 + ½ where policy = reference", () => {
    // z = .15, m = σ(3): softplus(−.15)(1 − m) + e^−.15·m in float64
    expectClose(lossOf(discopop({ beta: 0.1 }), tablePair), [0.8493375793], 1e-6)
    expectClose(lossOf(discopop({ beta: 0.1 }), { chosen: [0], rejected: [0] }), [0.5 * Math.LN2 + 0.5], 1e-6)
  })

  onWasm("is logistic far on the wrong side and exponential far on the right one", () => {
    // z = −2: softplus(2) = 2.1269280; z = 2: e^−2 = 0.1353353
    expectClose(lossOf(discopop({ beta: 1 }), { chosen: [-2, 2], rejected: [0, 0] }), [2.126928, 0.1353353], 1e-6)
  })

  for (const divergence of [reverseKl, forwardKl, jensenShannon, alphaDivergence(0.5)]) {
    describe(`with ${divergence.name}`, () => preferenceLossLaws(discopop({ beta: 0.1, divergence })))
  }
  describe("with a wide blend", () => preferenceLossLaws(discopop({ beta: 0.1, temperature: 2 })))
})
