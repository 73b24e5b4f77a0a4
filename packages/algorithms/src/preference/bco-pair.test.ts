import { describe } from "vitest"
import { expectClose, gradientsOf, lossOf, onWasm, preferenceLossLaws, tablePair } from "../testing/preference-case.ts"
import { bcoPair } from "./bco-pair.ts"

describe("bco-pair", () => {
  onWasm("equals the table, and costs 2·ln 2 where policy = reference", () => {
    // −log σ(.1) − log σ(.05) in float64
    expectClose(lossOf(bcoPair({ beta: 0.1 }), tablePair), [1.3128563081], 1e-6)
    expectClose(lossOf(bcoPair({ beta: 0.1 }), { chosen: [0], rejected: [0] }), [2 * Math.LN2], 1e-6)
  })

  onWasm("pushes each side by what its classifier gets wrong, whatever the other side does", () => {
    // −βσ(−βa) and βσ(βb): β = .5, a = ±2: σ(∓1); b = 2: σ(1)
    const { chosen, rejected } = gradientsOf(bcoPair({ beta: 0.5 }), { chosen: [2, -2], rejected: [2, 0] })
    expectClose(chosen, [-0.5 * 0.2689414, -0.5 * 0.7310586], 1e-6)
    expectClose(rejected, [0.5 * 0.7310586, 0.25], 1e-6)
  })

  preferenceLossLaws(bcoPair({ beta: 0.1 }))
})
