import { describe, expect, it } from "vitest"
import { expectClose, onWasm } from "../testing/preference-case.ts"
import { responseLosses, tableResponses, unpairedLossLaws } from "../testing/unpaired-case.ts"
import { bco } from "./bco.ts"

describe("bco", () => {
  onWasm("equals the table on its first update", () => {
    const loss = bco({ beta: 0.1 })
    const memory = loss.baseline.remember!(Float32Array.from(tableResponses.logRatios), {})
    const baseline = loss.baseline.of(new Float32Array(0), memory)
    // mean of .1 and −.05; −log σ(.075) on either side
    expectClose([baseline], [0.025], 1e-6)
    expectClose(responseLosses(loss, { ...tableResponses, baseline }), [0.6563501408, 0.6563501408], 1e-6)
  })

  it("remembers the mean of all rewards so far, every response weighing the same", () => {
    const { of, remember } = bco({ beta: 0.5 }).baseline
    const first = remember!(Float32Array.of(4, 2, 0, 2), {})
    // rewards 2, 1, 0, 1, then −1, −3: their mean is 0
    const second = remember!(Float32Array.of(-2, -6), first)
    expect(of(new Float32Array(0), first)).toBe(1)
    expect(of(new Float32Array(0), second)).toBeCloseTo(0, 12)
    expect(of(new Float32Array(0), {})).toBe(0)
  })

  unpairedLossLaws(bco({ beta: 0.3 }))
})
