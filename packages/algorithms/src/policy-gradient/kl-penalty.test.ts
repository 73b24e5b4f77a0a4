import { expect, it } from "vitest"
import { adaptiveKl, fixedKl } from "./kl-penalty.ts"

it("an adaptive coefficient follows the measured KL, by a fifth of responses/horizon at most", () => {
  const { initial, next } = adaptiveKl({ initial: 0.2, target: 6, horizon: 1000 })
  expect(initial).toBe(0.2)
  // errors clipped to ±.2, and .1 as it is
  expect(next(0.2, 60, 100)).toBeCloseTo(0.2 * (1 + 0.02), 12)
  expect(next(0.2, 0, 100)).toBeCloseTo(0.2 * (1 - 0.02), 12)
  expect(next(0.2, 6.6, 100)).toBeCloseTo(0.2 * (1 + 0.01), 12)
})

it("a fixed one stays", () => expect(fixedKl(0.05).next(0.05, 100, 64)).toBe(0.05))
