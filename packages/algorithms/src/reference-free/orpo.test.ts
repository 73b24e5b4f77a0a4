import { tf } from "@plumbline/runtime"
import { describe, expect, it } from "vitest"
import { expectClose, onWasm } from "../testing/preference-case.ts"
import { pairLosses, referenceFreeLaws, tableMeans } from "../testing/reference-free-case.ts"
import { row } from "../testing/small-models.ts"
import { orpo } from "./orpo.ts"

describe("orpo", () => {
  onWasm("equals the table", () => {
    expectClose(pairLosses(orpo({ beta: 0.1 }), tableMeans), [0.0510651706], 1e-6)
  })

  onWasm("reports the log-odds ratio and its log-sigmoid", () => {
    const reported = tf.tidy(() => {
      const made = orpo({ beta: 0.1 }).metrics!({ chosen: tf.tensor1d([-1.2]), rejected: tf.tensor1d([-1.5]) })
      return Object.entries(made).map(([name, values]) => [name, values.dataSync()[0]!] as const)
    })
    expect(reported.map(([name]) => name)).toEqual(["log_odds_ratio", "log_odds_chosen"])
    expectClose(
      reported.map(([, value]) => value),
      [-0.510651706, 0.4058999589],
      1e-6
    )
  })

  it("imitates the prompt and the chosen response", () => {
    const pair = { chosen: row([1, 2, 3, 4], 2), rejected: row([1, 2, 5], 2) }
    const { row: imitated, weight } = orpo({ beta: 0.1 }).imitation!
    expect(weight).toBe(1)
    expect([...imitated(pair).lossMask]).toEqual([0, 1, 1, 1])
    expect(imitated(pair).ids).toBe(pair.chosen.ids)
  })

  referenceFreeLaws(orpo({ beta: 0.5 }))
})
