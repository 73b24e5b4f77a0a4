import { describe, expect, it } from "vitest"
import { expectClose, onWasm } from "../testing/preference-case.ts"
import { pairLosses, referenceFreeLaws, tableMeans, tableSums } from "../testing/reference-free-case.ts"
import { row } from "../testing/small-models.ts"
import { tpo, tpoNormalized } from "./tpo.ts"

const triple = { chosen: row([1, 2], 1), rejected: row([1, 3], 1), gold: row([1, 4, 5], 1) }

describe("tpo", () => {
  // softplus(−.3), as cpo; softplus(1 − .6), as simpo
  onWasm("tells pairs apart as cpo does, and as simpo does when normalized", () => {
    expectClose(pairLosses(tpo({ beta: 0.1 }), tableSums), [0.5543552445], 1e-6)
    expectClose(pairLosses(tpoNormalized({ beta: 2, margin: 1 }), tableMeans), [0.9130152524], 1e-6)
  })

  it("imitates the gold response", () => {
    for (const loss of [tpo({ beta: 0.1 }), tpoNormalized({ beta: 2, margin: 1 })]) {
      expect(loss.imitation?.weight).toBe(1)
      expect(loss.imitation?.row(triple)).toBe(triple.gold)
    }
    expect(tpo({ beta: 0.1, imitationWeight: 0.2 }).imitation?.weight).toBe(0.2)
    expect(tpoNormalized({ beta: 2, margin: 1, imitationWeight: 0 }).imitation).toBeUndefined()
  })

  it("says what it is", () => {
    expect(tpo({ beta: 0.1 })).toMatchObject({ name: "tpo", lengthNormalized: false })
    expect(tpoNormalized({ beta: 2, margin: 1 })).toMatchObject({ name: "tpo-l", lengthNormalized: true })
  })

  referenceFreeLaws(tpo({ beta: 0.5 }))
})
