import { describe, expect, it } from "vitest"
import { expectClose, lossOf, onWasm, preferenceLossLaws, tablePair } from "../testing/preference-case.ts"
import { dpo } from "./dpo.ts"
import { hinge } from "./hinge.ts"
import { chosenCrossEntropy, mix } from "./mix.ts"

describe("mix", () => {
  const loss = mix([
    { loss: dpo({ beta: 0.1 }), weight: 0.5 },
    { loss: hinge({ beta: 0.1 }), weight: 2 },
    { loss: chosenCrossEntropy, weight: 0.25 }
  ])

  // 0.5·0.6209570478 + 2·0.85
  onWasm("is the weighted sum of its parts", () => expectClose(lossOf(loss, tablePair), [2.0104785], 1e-6))

  onWasm("carries the cross-entropy's weight and the first loss's β", () => {
    expect(loss.crossEntropyWeight).toBe(0.25)
    expect(loss.beta).toBe(0.1)
    expect(mix([{ loss: dpo({ beta: 0.1 }), weight: 1 }]).crossEntropyWeight).toBe(0)
  })

  it("refuses weights that leave nothing to learn", () => {
    const nothing = [
      { loss: hinge({ beta: 0.1 }), weight: 0 },
      { loss: chosenCrossEntropy, weight: 0 }
    ] as const
    expect(() => mix(nothing)).toThrow(/hinge\+sft: weighs nothing more than 0/)
    expect(mix([nothing[0], { loss: chosenCrossEntropy, weight: 1 }]).crossEntropyWeight).toBe(1)
  })

  preferenceLossLaws(loss)
})
