import { describe, expect, it } from "vitest"
import {
  expectClose,
  gradientsOf,
  lossOf,
  onWasm,
  preferenceLossLaws,
  type PairNumbers
} from "../testing/preference-case.ts"
import { aot, aotUnpaired } from "./aot.ts"

/** Log-probs −12, −15, −13, −14.5 (chosen, rejected, and both of the reference), then −20, −18, −19, −19.5. */
const twoPairs: PairNumbers = {
  chosen: [1, -1],
  rejected: [-0.5, 1.5],
  referenceChosen: [-13, -19],
  referenceRejected: [-14.5, -19.5]
}

const mean = (values: ReadonlyArray<number>) => values.reduce((total, value) => total + value, 0) / values.length

describe("aot", () => {
  onWasm("equals the table", () => {
    // policy gaps −2, 3; reference gaps .5, 1.5; d = −2.5, 1.5, in float64; ε adds ε·β·mean d
    expectClose([mean(lossOf(aot({ beta: 0.1 }), twoPairs))], [0.7234482338], 1e-6)
    expectClose([mean(lossOf(aot({ beta: 0.1, labelSmoothing: 0.1 }), twoPairs))], [0.7234482338 - 0.005], 1e-6)
  })

  onWasm("costs ln 2 where policy = reference", () => {
    expectClose(
      lossOf(aot({ beta: 0.1 }), { ...twoPairs, chosen: [0, 0], rejected: [0, 0] }),
      [Math.LN2, Math.LN2],
      1e-6
    )
  })

  onWasm("sends the gradient of a rank to the pair that holds it", () => {
    // pair 0 has the larger policy gap: −βσ(−β·1.5); pair 1 the smaller: −βσ(β·2.5)
    const { chosen, rejected } = gradientsOf(aot({ beta: 0.1 }), twoPairs)
    expectClose(chosen, [-0.046257, -0.0562177], 1e-6)
    expectClose(rejected, [0.046257, 0.0562177], 1e-6)
  })

  onWasm("compares ranks, not pairs", () => {
    // policy gaps 2, −1; reference gaps −3, 4; sorted: −1 − −3 and 2 − 4; softplus(−2) and softplus(2)
    const crossed = { chosen: [5, -5], rejected: [0, 0], referenceChosen: [-3, 4], referenceRejected: [0, 0] }
    expectClose([mean(lossOf(aot({ beta: 1 }), crossed))], [1.126928], 1e-6)
  })

  preferenceLossLaws(aot({ beta: 0.1, labelSmoothing: 0.1 }))
})

describe("aot-unpaired", () => {
  onWasm("equals the table", () => {
    // chosen −1, 1; rejected −.5, 1.5; d = −.5, −.5, in float64; ε adds ε·β·mean d
    expectClose([mean(lossOf(aotUnpaired({ beta: 0.1 }), twoPairs))], [0.718459648], 1e-6)
    expectClose([mean(lossOf(aotUnpaired({ beta: 0.1, labelSmoothing: 0.1 }), twoPairs))], [0.713459648], 1e-6)
  })

  onWasm("compares by rank: reordering one side changes neither the loss nor a response's gradient", () => {
    const loss = aotUnpaired({ beta: 0.5 })
    const pairs = { chosen: [3, -1, 0.5], rejected: [0, 2, -4] }
    const swapped = { chosen: [3, -1, 0.5], rejected: [-4, 0, 2] }
    expectClose([mean(lossOf(loss, pairs))], [mean(lossOf(loss, swapped))], 1e-6)
    const [before, after] = [gradientsOf(loss, pairs), gradientsOf(loss, swapped)]
    expectClose(after.chosen, before.chosen, 1e-6)
    expectClose(after.rejected, [before.rejected[2]!, before.rejected[0]!, before.rejected[1]!], 1e-6)
  })

  it("declares that it couples pairs, and refuses a label smoothing of ½", () => {
    expect([aot({ beta: 0.1 }).coupled, aotUnpaired({ beta: 0.1 }).coupled]).toEqual([true, true])
    expect(() => aotUnpaired({ beta: 0.1, labelSmoothing: 0.5 })).toThrow(/is not in/)
    expect(() => aot({ beta: 0.1, labelSmoothing: 0.5 })).toThrow(/is not in/)
  })

  preferenceLossLaws(aotUnpaired({ beta: 0.1, labelSmoothing: 0.1 }))
})
