import { describe } from "vitest"
import { expectClose, gradientsOf, lossOf, onWasm, preferenceLossLaws, tablePair } from "../testing/preference-case.ts"
import { apoDown, apoZero } from "./apo.ts"

const atReference = { chosen: [0], rejected: [0] }

describe("apo-zero", () => {
  onWasm("equals the table, and costs 1 where policy = reference", () => {
    // 1 − σ(.1) + σ(−.05) in float64
    expectClose(lossOf(apoZero({ beta: 0.1 }), tablePair), [0.962523416], 1e-6)
    expectClose(lossOf(apoZero({ beta: 0.1 }), atReference), [1], 1e-6)
  })

  onWasm("pushes the chosen side up and the rejected one down, each by βσ(1−σ)", () => {
    const { chosen, rejected } = gradientsOf(apoZero({ beta: 0.1 }), atReference)
    expectClose([...chosen, ...rejected], [-0.025, 0.025], 1e-7)
  })

  preferenceLossLaws(apoZero({ beta: 0.1 }))
})

describe("apo-down", () => {
  onWasm("equals the table, and costs 1 where policy = reference", () => {
    // σ(.1) + 1 − σ(.15) in float64
    expectClose(lossOf(apoDown({ beta: 0.1 }), tablePair), [0.9875493421], 1e-6)
    expectClose(lossOf(apoDown({ beta: 0.1 }), atReference), [1], 1e-6)
  })

  onWasm("pushes both sides down once the gap is wide, the rejected one alone at first", () => {
    // at 0: β/4 − β/4 and β/4; at a = 0, b = −20: β/4 − βσ(2)σ(−2) and βσ(2)σ(−2), σ(2)σ(−2) = 0.1049936
    const { chosen, rejected } = gradientsOf(apoDown({ beta: 0.1 }), { chosen: [0, 0], rejected: [0, -20] })
    expectClose(chosen, [0, 0.01450064], 1e-7)
    expectClose(rejected, [0.025, 0.01049936], 1e-7)
  })

  preferenceLossLaws(apoDown({ beta: 0.1 }))
})
