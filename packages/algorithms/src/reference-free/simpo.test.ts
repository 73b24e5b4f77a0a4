import { tf } from "@plumbline/runtime"
import { describe, expect, it } from "vitest"
import { expectClose, onWasm } from "../testing/preference-case.ts"
import { pairGradients, pairLosses, referenceFreeLaws, tableMeans } from "../testing/reference-free-case.ts"
import { alphaPo } from "./alpha-po.ts"
import { simpo } from "./simpo.ts"

const swapped = { chosen: tableMeans.rejected, rejected: tableMeans.chosen }

describe("simpo", () => {
  const loss = simpo({ beta: 2, margin: 1 })

  onWasm("equals the table", () => expectClose(pairLosses(loss, tableMeans), [0.9130152524], 1e-6))

  onWasm("wants the margin on top, whichever response is likelier", () => {
    // softplus(1 + .6)
    expectClose(pairLosses(loss, swapped), [1.7839], 1e-4)
    // ε = .1: softplus(.4) − .1·.4
    expectClose(pairLosses(simpo({ beta: 2, margin: 1, labelSmoothing: 0.1 }), tableMeans), [0.8730152524], 1e-6)
  })

  onWasm("pushes by β·σ(γ − β·gap)", () => {
    // 2·σ(.4)
    expectClose(pairGradients(loss, tableMeans), [-1.1973753, 1.1973753], 1e-6)
  })

  it("imitates nothing unless told to", () => {
    expect(loss).toMatchObject({ lengthNormalized: true, imitation: undefined })
    expect(simpo({ beta: 2, margin: 1, imitationWeight: 0.5 }).imitation).toMatchObject({ weight: 0.5 })
  })

  referenceFreeLaws(simpo({ beta: 2, margin: 1, labelSmoothing: 0.1 }))
})

describe("alphapo", () => {
  const loss = alphaPo({ beta: 2, margin: 0.5, alpha: 0.25 })

  onWasm("bends the reward to β·(1 − p^(−α))/α", () => {
    // means −1.2 and −1.5: 2·(1 − e^.3)/.25 = −2.7988705 and −3.6399313; softplus(.5 − .8410608), in float64
    const rewards = tf.tidy(() => [...loss.reward(tf.tensor1d([-1.2, -1.5])).dataSync()])
    expectClose(rewards, [-2.7988705, -3.6399313], 1e-6)
    expectClose(pairLosses(loss, tableMeans), [0.5370871], 1e-6)
  })

  onWasm("is simpo where α is next to 0", () => {
    const straight = pairLosses(simpo({ beta: 2, margin: 0.5 }), swapped)
    expectClose(pairLosses(alphaPo({ beta: 2, margin: 0.5, alpha: 1e-3 }), swapped), straight, 2e-3)
  })

  it.each([0, Number.NaN])("refuses α = %s", (alpha) => {
    expect(() => alphaPo({ beta: 2, margin: 0.5, alpha })).toThrow(/at 0 it is simpo/)
  })

  referenceFreeLaws(loss)
  referenceFreeLaws(alphaPo({ beta: 2, margin: 0.5, alpha: -0.5 }))
})
