import { describe } from "vitest"
import { expectClose, gradientsOf, lossOf, onWasm, preferenceLossLaws, tablePair } from "../testing/preference-case.ts"
import { alphaDivergence, type Divergence, forwardKl, jensenShannon, reverseKl } from "./divergence.ts"
import { dpo } from "./dpo.ts"

describe("dpo", () => {
  onWasm("costs ln 2 where policy = reference", () => {
    expectClose(lossOf(dpo({ beta: 0.1 }), { chosen: [0], rejected: [0] }), [Math.LN2], 1e-7)
  })

  onWasm("is softplus(−β·h)", () => {
    // ln(1 + e^−βh) for βh = 0, 1, 2, −0.5
    const pairs = { chosen: [0, 6, 20, -3], rejected: [0, -4, 0, 2] }
    expectClose(lossOf(dpo({ beta: 0.1 }), pairs), [Math.LN2, 0.3132617, 0.126928, 0.974077], 1e-6)
  })

  onWasm("mixes in the flipped label under label smoothing", () => {
    // 0.9·softplus(−0.15) + 0.1·softplus(0.15)
    expectClose(lossOf(dpo({ beta: 0.1, labelSmoothing: 0.1 }), tablePair), [0.6359570478], 1e-6)
  })

  onWasm("pushes the chosen log-ratio up by β·σ(−β·h), and the rejected one down by as much", () => {
    const { chosen, rejected } = gradientsOf(dpo({ beta: 0.1 }), { chosen: [0, 6, 20, -3], rejected: [0, -4, 0, 2] })
    expectClose(chosen, [-0.05, -0.0268941, -0.0119203, -0.0622459], 1e-6)
    expectClose(rejected, [0.05, 0.0268941, 0.0119203, 0.0622459], 1e-6)
  })

  // −log σ(β(s(1) − s(−0.5))) in float64
  const divergences: ReadonlyArray<readonly [Divergence, number]> = [
    [reverseKl, 0.6209570478],
    [forwardKl, 0.6311543836],
    [jensenShannon, 0.6606521625],
    [alphaDivergence(0.5), 0.6276909471]
  ]
  for (const [divergence, expected] of divergences) {
    describe(`with ${divergence.name}`, () => {
      const loss = dpo({ beta: 0.1, divergence })
      onWasm("equals the table", () => expectClose(lossOf(loss, tablePair), [expected], 1e-6))
      preferenceLossLaws(loss)
    })
  }

  describe("with label smoothing", () => preferenceLossLaws(dpo({ beta: 0.3, labelSmoothing: 0.2 })))
})
