import { expect, it } from "vitest"
import { median, repeated } from "./timing.ts"

it("takes the median of odd and even numbers of values", () => {
  expect(median([3, 1, 2])).toBe(2)
  expect(median([4, 1, 3, 2])).toBe(2.5)
  expect(median([5])).toBe(5)
})

it("repeats so many times, or until time is up, but once", () => {
  let runs = 0
  expect(repeated(3, 60, () => ++runs)).toEqual([1, 2, 3])
  expect(repeated(3, 0, () => ++runs)).toEqual([4])
})
