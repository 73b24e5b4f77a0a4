import { describe } from "vitest"
import { expectClose, gradientsOf, lossOf, onWasm, preferenceLossLaws, tablePair } from "../testing/preference-case.ts"
import { jensenShannon } from "./divergence.ts"
import { ipo, ipoSum } from "./ipo.ts"

describe("ipo", () => {
  onWasm("costs 1/(4β²) where policy = reference", () => {
    expectClose(lossOf(ipo({ beta: 0.1 }), { chosen: [0], rejected: [0] }), [25], 1e-6)
  })

  onWasm("pulls the gap of per-token scores to 1/(2β)", () => {
    // (1/8 + 0.5/10 − 5)²
    expectClose(lossOf(ipo({ beta: 0.1 }), tablePair), [23.280625], 1e-6)
    // 2(0.175 − 5)/8 and −2(0.175 − 5)/10
    const { chosen, rejected } = gradientsOf(ipo({ beta: 0.1 }), tablePair)
    expectClose(chosen, [-1.20625], 1e-6)
    expectClose(rejected, [0.965], 1e-6)
  })

  onWasm("costs nothing at the target and rises beyond it", () => {
    const lengths = { chosenLengths: [1, 1], rejectedLengths: [1, 1] }
    expectClose(lossOf(ipo({ beta: 0.5 }), { chosen: [1, 3], rejected: [0, 0], ...lengths }), [0, 4], 1e-6)
  })

  onWasm("scores a divergence before dividing by the length", () => {
    // (0.379885493/8 + 0.2809298036/10 − 5)²
    expectClose(lossOf(ipo({ beta: 0.1, divergence: jensenShannon }), tablePair), [24.249925], 1e-6)
  })

  preferenceLossLaws(ipo({ beta: 0.1 }))
})

describe("ipo on sums", () => {
  onWasm("pulls the gap of whole responses' scores to 1/(2β)", () => {
    // (1 + 0.5 − 5)², 2(1.5 − 5) and its opposite
    expectClose(lossOf(ipoSum({ beta: 0.1 }), tablePair), [12.25], 1e-6)
    const { chosen, rejected } = gradientsOf(ipoSum({ beta: 0.1 }), tablePair)
    expectClose([...chosen, ...rejected], [-7, 7], 1e-6)
    // (0.379885493 + 0.2809298036 − 5)²
    expectClose(lossOf(ipoSum({ beta: 0.1, divergence: jensenShannon }), tablePair), [18.8285239], 1e-6)
  })

  preferenceLossLaws(ipoSum({ beta: 0.1 }))
})
