import type { FirstStep } from "@plumbline/training"
import { expect, it } from "vitest"
import { otherSplit, splitFinding } from "./splits.ts"

const step = (units: ReadonlyArray<number>, metrics: Readonly<Record<string, number>>): FirstStep => ({
  algorithm: "sft",
  metrics: { num_tokens: 9, ...metrics },
  units,
  expected: {},
  seconds: { experience: 0, step: 1 },
  stepsPerExperience: 1,
  steps: 1,
  checkpoints: 0,
  trainedParameters: 1
})

const verdict = (a: FirstStep, b: FirstStep, precision: "float32" | "bfloat16" = "float32") =>
  splitFinding(a, b, precision).verdict

it("splits a batch otherwise, where it has two units", () => {
  expect(otherSplit(step([4, 4], {}))).toEqual({ count: 1 })
  expect(otherSplit(step([1, 1, 1], {}))).toEqual({ count: 2 })
  expect(otherSplit(step([1], {}))).toBeUndefined()
  expect(otherSplit(step([], {}))).toBeUndefined()
})

it("takes rounding for rounding, and more than that for a mistake", () => {
  const whole = step([2], { loss: 2, grad_norm: 0.5 })
  expect(verdict(whole, step([1, 1], { loss: 2.00001, grad_norm: 0.5001 }))).toBe("fine")
  expect(verdict(whole, step([1, 1], { loss: 2.001, grad_norm: 0.5 }))).toBe("refused")
  expect(verdict(whole, step([1, 1], { loss: 2, grad_norm: 0.502 }))).toBe("refused")
  expect(verdict(whole, step([1, 1], { loss: 2.01, grad_norm: 0.51 }), "bfloat16")).toBe("fine")
  expect(verdict(whole, step([1, 1], { loss: 2, grad_norm: 0.6 }), "bfloat16")).toBe("refused")
  // a step at its optimum has a gradient of rounding alone
  expect(verdict(step([2], { loss: 0, grad_norm: 4e-7 }), step([1, 1], { loss: 0, grad_norm: 6e-7 }))).toBe("fine")
})

it("says where nothing was compared", () => {
  const whole = step([2], { loss: 2, grad_norm: 0.5 })
  const text = (other: FirstStep) => splitFinding(whole, other, "float32").text
  expect(text(step([2], { loss: 2, grad_norm: 0.5 }))).toContain("split by the algorithm itself")
  expect(text(step([1, 1], { loss: 2, grad_norm: 0.5, num_tokens: 8 }))).toContain("not made of the same tokens")
  expect(verdict(step([2], { loss: 0, grad_norm: 0 }), step([1, 1], { loss: 0, grad_norm: 0 }))).toBe("warning")
})
