import { describe } from "vitest"
import { expectClose, gradientsOf, lossOf, onWasm, preferenceLossLaws, tablePair } from "../testing/preference-case.ts"
import { alphaDivergence, forwardKl, jensenShannon, reverseKl } from "./divergence.ts"
import { sigmoidNorm } from "./sigmoid-norm.ts"

describe("sigmoid-norm", () => {
  onWasm("equals the table, and costs ln 2 where policy = reference", () => {
    // −log σ(.1·(1/8 + .5/10)) in float64
    expectClose(lossOf(sigmoidNorm({ beta: 0.1 }), tablePair), [0.6844354613], 1e-6)
    expectClose(lossOf(sigmoidNorm({ beta: 0.1 }), { chosen: [0], rejected: [0] }), [Math.LN2], 1e-6)
  })

  onWasm("pushes a token of either side by the same, so a response by one over its length", () => {
    const pairs = { chosen: [0], rejected: [0], chosenLengths: [4], rejectedLengths: [5] }
    const { chosen, rejected } = gradientsOf(sigmoidNorm({ beta: 2 }), pairs)
    expectClose([...chosen, ...rejected], [-0.25, 0.2], 1e-6)
  })

  for (const divergence of [reverseKl, forwardKl, jensenShannon, alphaDivergence(0.5)]) {
    describe(`with ${divergence.name}`, () => preferenceLossLaws(sigmoidNorm({ beta: 0.1, divergence })))
  }
})
