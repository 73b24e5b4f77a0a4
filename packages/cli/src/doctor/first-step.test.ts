import type { FirstStep } from "@plumbline/training"
import { expect, it } from "vitest"
import { firstStepFindings } from "./first-step.ts"

const step = (metrics: Readonly<Record<string, number>>, expected: FirstStep["expected"] = {}): FirstStep => ({
  algorithm: "dpo",
  metrics,
  units: [1],
  expected,
  seconds: { experience: 0, step: 1 },
  stepsPerExperience: 1,
  steps: 1,
  checkpoints: 0,
  trainedParameters: 1
})

const expected = { loss: { value: Math.LN2, perNat: 0.1 }, "rewards/chosen": { value: 0, perNat: 0.1 } }
const verdicts = (metrics: Readonly<Record<string, number>>, precision: "float32" | "bfloat16" = "float32") =>
  firstStepFindings(step({ grad_norm: 1, ...metrics }, expected), precision).map(({ verdict }) => verdict)

it("holds metrics against what they are before anything is learnt, to the precision's rounding", () => {
  expect(verdicts({ loss: 0.6932, "rewards/chosen": 0 })).toEqual(["fine"])
  expect(verdicts({ loss: 0.7, "rewards/chosen": 0 })).toEqual(["refused"])
  expect(verdicts({ loss: 0.7, "rewards/chosen": 0 }, "bfloat16")).toEqual(["fine"])
  expect(verdicts({ loss: 0.6932, "rewards/chosen": Number.NaN })).toEqual(["refused"])
  // a batch without chosen responses
  expect(verdicts({ loss: 0.6932 })).toEqual(["fine"])
})

it("names what is off alone", () => {
  const [{ text } = { text: "" }] = firstStepFindings(
    step({ loss: 0.9, "rewards/chosen": 0, grad_norm: 1 }, expected),
    "float32"
  )
  expect(text).toMatch(/^loss is 0.9 and not 0.693147: the policy as it begins is not its reference/)
})

it("warns of a batch that teaches nothing", () => {
  const texts = (metrics: Readonly<Record<string, number>>) =>
    firstStepFindings(step(metrics), "float32").map(({ text, verdict }) => [verdict, text.split(":")[0]])
  expect(texts({ loss: 1, grad_norm: 1, frac_reward_zero_std: 0.5, "completions/clipped_ratio": 0.9 })).toEqual([])
  expect(texts({})).toEqual([["warning", "the first batch has nothing to learn from"]])
  expect(texts({ loss: 0, grad_norm: 0, frac_reward_zero_std: 1 })).toEqual([
    ["warning", "the responses to each prompt of the first batch have equal rewards"],
    ["warning", "the gradient of the first step is 0"]
  ])
})
