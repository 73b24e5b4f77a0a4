import { expect, it } from "vitest"
import { decodeStep } from "./generation.ts"

it("times decoding steps only where there are some, and they can be told from prompts", () => {
  expect(decodeStep(1.5, 0.5, 11)).toBeCloseTo(0.1)
  expect(decodeStep(0.5, 0.4, 1)).toBeNull()
  expect(decodeStep(5.3, 6.1, 2)).toBeNull()
})
