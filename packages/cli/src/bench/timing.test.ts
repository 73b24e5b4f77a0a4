import { expect, it } from "vitest"
import { median } from "./timing.ts"

it("takes the median of odd and even numbers of values", () => {
  expect(median([3, 1, 2])).toBe(2)
  expect(median([4, 1, 3, 2])).toBe(2.5)
  expect(median([5])).toBe(5)
})
