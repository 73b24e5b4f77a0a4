import { describe, expect, it } from "vitest"
import { decideProgress } from "./progress-decision.ts"

// step, max steps, evaluate every, save every, held-out batches → evaluate, save, end: NeMo-Aligner's unit test
const cases: ReadonlyArray<readonly [number, number, number, number, number, string]> = [
  [10, 10, 3, 9, 1, "TTT"],
  [10, 10, 3, 9, 0, "FTT"],
  [10, 10, 3, 9, 10, "TTT"],
  [3, 10, 3, 9, 10, "TFF"],
  [6, 10, 3, 9, 10, "TFF"],
  [9, 10, 3, 9, 10, "TTF"],
  [3, 10, 3, 9, 0, "FFF"],
  [6, 10, 3, 9, 0, "FFF"],
  [9, 10, 3, 9, 0, "FTF"],
  [6, 10, 1, 2, 0, "FTF"],
  [10, 10, 1, 2, 0, "FTT"],
  [10, 10, 3, 0, 10, "TFT"],
  [10, 10, 0, 9, 10, "FTT"],
  [10, 10, 0, 0, 10, "FFT"]
]

const shown = ({ end, evaluate, save }: ReturnType<typeof decideProgress>) =>
  [evaluate, save, end].map((decided) => (decided ? "T" : "F")).join("")

describe("decideProgress", () => {
  for (const [step, maxSteps, evalEvery, saveEvery, batches, expected] of cases) {
    it(`step ${step} of ${maxSteps}, evaluating each ${evalEvery} on ${batches}, saving each ${saveEvery}: ${expected}`, () => {
      expect(shown(decideProgress({ maxSteps, evalEvery, saveEvery, canEvaluate: batches > 0 }, step, false))).toBe(
        expected
      )
    })
  }

  it("evaluates and saves when the time is up, at any step", () => {
    const options = { maxSteps: 10, evalEvery: 3, saveEvery: 9, canEvaluate: true }
    expect(shown(decideProgress(options, 5, true))).toBe("TTF")
    expect(shown(decideProgress({ ...options, evalEvery: 0, saveEvery: 0 }, 5, true))).toBe("FFF")
  })
})
