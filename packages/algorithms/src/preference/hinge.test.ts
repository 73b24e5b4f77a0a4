import { describe } from "vitest"
import { expectClose, gradientsOf, lossOf, onWasm, preferenceLossLaws, tablePair } from "../testing/preference-case.ts"
import { hinge } from "./hinge.ts"

describe("hinge", () => {
  onWasm("costs 1 where policy = reference, falls by β·gap, and is 0 beyond 1/β", () => {
    // 1 − 0.15; 1 − 0.1·12 < 0; 1 + 0.1·5
    expectClose(lossOf(hinge({ beta: 0.1 }), tablePair), [0.85], 1e-6)
    expectClose(lossOf(hinge({ beta: 0.1 }), { chosen: [0, 12, -5], rejected: [0, 0, 0] }), [1, 0, 1.5], 1e-6)
  })

  onWasm("pushes by β inside the margin and not at all outside", () => {
    const { chosen, rejected } = gradientsOf(hinge({ beta: 0.1 }), { chosen: [1, 12], rejected: [-0.5, 0] })
    expectClose(chosen, [-0.1, 0], 1e-7)
    expectClose(rejected, [0.1, 0], 1e-7)
  })

  preferenceLossLaws(hinge({ beta: 0.1 }))
})
