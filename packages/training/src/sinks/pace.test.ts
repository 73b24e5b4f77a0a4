import { assert, describe, it } from "vitest"
import { observeStep, type Pace, secondsLeft, startPace } from "./pace.ts"

const observeAll = (pace: Pace, observations: ReadonlyArray<readonly [step: number, time: number]>) =>
  observations.reduce((seen, [step, time]) => observeStep(seen, step, time), pace)

describe("pace", () => {
  it("knows nothing before the first step", () => {
    assert.strictEqual(secondsLeft(startPace(0, 0), 10), undefined)
  })

  it("is the mean of the first observations", () => {
    // Steps took 4 s and 2 s: mean 3 s; 8 left → 24 s.
    assert.strictEqual(
      secondsLeft(
        observeAll(startPace(0, 1000), [
          [1, 5000],
          [2, 7000]
        ]),
        10
      ),
      24
    )
  })

  it("counts from where a resumed run starts", () => {
    // 10 steps in 5 s, from step 90: 0.5 s each; 100 left → 50 s.
    assert.strictEqual(secondsLeft(observeAll(startPace(90, 0), [[100, 5000]]), 200), 50)
  })

  it("forgets old steps: after a change of pace it follows within some dozens of steps", () => {
    const slow = Array.from({ length: 100 }, (_, i) => [i + 1, (i + 1) * 10_000] as const)
    const fast = Array.from({ length: 100 }, (_, i) => [101 + i, 1_000_000 + (i + 1) * 1000] as const)
    const pace = observeAll(startPace(0, 0), [...slow, ...fast])
    // 1 s + 9 s · (19/20)^100 = 1.0533 s a step; the plain mean would be 5.5 s.
    assert.closeTo(pace.millisecondsPerStep!, 1053.3, 0.1)
  })

  it("ignores a step that was counted already, and never goes below zero", () => {
    const pace = observeAll(startPace(0, 0), [[5, 5000]])
    assert.strictEqual(observeStep(pace, 5, 9000), pace)
    assert.strictEqual(secondsLeft(pace, 4), 0)
  })
})
