import { describe } from "vitest"
import { expectClose, gradientsOf, lossOf, onWasm, preferenceLossLaws, tablePair } from "../testing/preference-case.ts"
import { nca } from "./nca.ts"

describe("nca", () => {
  onWasm("equals the table, and costs 2·ln 2 where policy = reference", () => {
    // −log σ(.1) − ½log σ(−.1) − ½log σ(.05) in float64
    expectClose(lossOf(nca({ beta: 0.1 }), tablePair), [1.3508248141], 1e-6)
    expectClose(lossOf(nca({ beta: 0.1 }), { chosen: [0], rejected: [0] }), [2 * Math.LN2], 1e-6)
  })

  onWasm("pulls the chosen log-ratio to ln 2 / β and the rejected one down", () => {
    // ∂/∂chosen = β(−σ(−r) + ½σ(r)): 0 at e^r = 2; ∂/∂rejected = ½βσ(r): at r = 0 a quarter of β
    const { chosen, rejected } = gradientsOf(nca({ beta: 0.5 }), { chosen: [2 * Math.LN2, 0], rejected: [0, 0] })
    expectClose(chosen, [0, -0.125], 1e-6)
    expectClose(rejected, [0.125, 0.125], 1e-6)
  })

  preferenceLossLaws(nca({ beta: 0.1 }))
})
