import { describe, expect, it } from "vitest"
import { shellWord } from "@plumbline/training"
import { metricLines } from "./report-run.ts"
import { configDigest, duration, number } from "./run-text.ts"
import { chartedByDefault, chartsText, metricNames } from "./run-view.ts"

describe("words for numbers", () => {
  it("keeps five significant digits", () => {
    expect([0.481256, 25, 1e-5, 123456].map(number)).toEqual(["0.48126", "25", "0.00001", "123460"])
  })

  it("shows seconds, minutes and hours", () => {
    expect([4.21, 129, 3900].map(duration)).toEqual(["4.2s", "2m09s", "1h05m"])
  })
})

describe("configDigest", () => {
  it("does not depend on the order of keys", () => {
    expect(configDigest({ a: 1, b: { c: 2, d: 3 } })).toBe(configDigest({ b: { d: 3, c: 2 }, a: 1 }))
    expect(configDigest({ a: 1 })).not.toBe(configDigest({ a: 2 }))
  })
})

describe("metricLines", () => {
  it("fills lines up to the width and leaves timers out", () => {
    expect(metricLines({ loss: 0.5, "timers/step": 1, kl: 2, reward: 3 }, 20)).toEqual(["loss 0.5   kl 2", "reward 3"])
  })
})

it("quotes what a shell would split", () => {
  expect(["runs/a-1", "my runs/a", "it's"].map(shellWord)).toEqual(["runs/a-1", "'my runs/a'", `'it'\\''s'`])
})

describe("charts of a run", () => {
  const rows = [
    { step: 1, metrics: { "rewards/margins": 0, loss: 0.7, grad_norm: 3 } },
    { step: 2, metrics: { "rewards/margins": 1, loss: 0.6, grad_norm: 2, eval_loss: 0.65 } }
  ]

  it("are of losses, learning rate and rewards", () => {
    expect(chartedByDefault(metricNames(rows))).toEqual(["loss", "eval_loss", "rewards/margins"])
  })

  it("show a metric over the steps that have it", () => {
    expect(chartsText(rows, ["eval_loss"], 90)).toMatch(/^eval_loss: min 0\.65 at step 2/)
  })
})
