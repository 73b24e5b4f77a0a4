import { describe, expect, it } from "vitest"
import { expectClose, onWasm } from "../testing/preference-case.ts"
import { pairGradients, pairLosses, referenceFreeLaws, tableMeans, tableSums } from "../testing/reference-free-case.ts"
import { cpo, cpoHinge, cpoIpo } from "./cpo.ts"

describe("cpo", () => {
  onWasm("equals the table", () => expectClose(pairLosses(cpo({ beta: 0.1 }), tableSums), [0.5543552445], 1e-6))

  onWasm("mixes in the flipped label under label smoothing", () => {
    // .9·softplus(−.3) + .1·softplus(.3)
    expectClose(pairLosses(cpo({ beta: 0.1, labelSmoothing: 0.1 }), tableSums), [0.5843552445], 1e-6)
  })

  onWasm("pushes the chosen log-prob up by β·σ(−z)", () => {
    // .1·σ(−.3) = .0425557
    expectClose(pairGradients(cpo({ beta: 0.1 }), tableSums), [-0.0425557, 0.0425557], 1e-6)
  })

  it("imitates the chosen response with weight 1 unless told otherwise", () => {
    expect(cpo({ beta: 0.1 })).toMatchObject({ lengthNormalized: false, imitation: { weight: 1 } })
    expect(cpo({ beta: 0.1, imitationWeight: 0 }).imitation).toBeUndefined()
    expect(() => cpo({ beta: 0.1, imitationWeight: -1 })).toThrow(/weighs 0 or more, not -1/)
    expect(() => cpo({ beta: 0.1, labelSmoothing: 0.5 })).toThrow(/is not in/)
  })

  referenceFreeLaws(cpo({ beta: 0.5, labelSmoothing: 0.1 }))
})

describe("cpo-hinge", () => {
  onWasm("is max(0, 1 − β·gap)", () => {
    expectClose(pairLosses(cpoHinge({ beta: 0.1 }), tableSums), [0.7], 1e-6)
    expectClose(pairLosses(cpoHinge({ beta: 0.1 }), { chosen: [-1, -30], rejected: [-15, -20] }), [0, 2], 1e-6)
  })
  referenceFreeLaws(cpoHinge({ beta: 0.3 }))
})

describe("cpo-ipo", () => {
  onWasm("is the square of what mean log-probs lack of 1/(2β)", () => {
    // (.3 − 5)² and (−.3 − 5)²
    expectClose(pairLosses(cpoIpo({ beta: 0.1 }), tableMeans), [22.09], 1e-6)
    expectClose(pairLosses(cpoIpo({ beta: 0.1 }), { chosen: [-1.5], rejected: [-1.2] }), [28.09], 1e-6)
    expect(cpoIpo({ beta: 0.1 }).lengthNormalized).toBe(true)
  })
  referenceFreeLaws(cpoIpo({ beta: 0.3 }))
})
