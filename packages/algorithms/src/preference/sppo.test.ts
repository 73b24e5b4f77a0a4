import { describe } from "vitest"
import { expectClose, gradientsOf, lossOf, onWasm, preferenceLossLaws, tablePair } from "../testing/preference-case.ts"
import { sppoHard } from "./sppo.ts"

describe("sppo-hard", () => {
  onWasm("equals the table, and costs 1/(2β²) where policy = reference", () => {
    // (1 − 5)² + (−.5 + 5)²
    expectClose(lossOf(sppoHard({ beta: 0.1 }), tablePair), [36.25], 1e-6)
    expectClose(lossOf(sppoHard({ beta: 0.1 }), { chosen: [0], rejected: [0] }), [50], 1e-6)
  })

  onWasm("pulls the chosen log-ratio to 1/(2β), the rejected one to −1/(2β), and back from beyond", () => {
    const { chosen, rejected } = gradientsOf(sppoHard({ beta: 0.5 }), { chosen: [1, 3], rejected: [-1, -2] })
    expectClose(chosen, [0, 4], 1e-6)
    expectClose(rejected, [0, -2], 1e-6)
  })

  preferenceLossLaws(sppoHard({ beta: 0.1 }))
})
