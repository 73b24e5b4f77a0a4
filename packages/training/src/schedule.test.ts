import { describe, expect, it } from "vitest"
import { learningRateAt, type ScheduleOptions } from "./schedule.ts"

const rates = (options: Partial<ScheduleOptions>, steps: ReadonlyArray<number>) =>
  steps.map((step) =>
    learningRateAt(
      { lrSchedule: "constant", learningRate: 2, warmupSteps: 0, maxSteps: 10, minLrRatio: 0, ...options },
      step
    )
  )

const close = (actual: ReadonlyArray<number>, expected: ReadonlyArray<number>) =>
  actual.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 9))

describe("learningRateAt", () => {
  it("stays constant", () => close(rates({}, [1, 5, 10]), [2, 2, 2]))

  // transformers get_linear_schedule_with_warmup(2 of 10): 0, ½, then (10 − k)/8 at k = 2, 6, 9
  it("warms up from 0 and falls linearly to 0 after the last step", () =>
    close(rates({ lrSchedule: "linear", warmupSteps: 2 }, [1, 2, 3, 7, 10, 11]), [0, 1, 2, 1, 0.25, 0]))

  // ½(1 + cos(π·k/10)) at k = 0, 5, 9
  it("falls as half a cosine", () => close(rates({ lrSchedule: "cosine" }, [1, 6, 10]), [2, 1, 2 * 0.0244717419]))

  it("ends at the given share", () => {
    close(rates({ lrSchedule: "linear", minLrRatio: 0.1 }, [1, 6, 11]), [2, 1.1, 0.2])
    close(rates({ lrSchedule: "cosine", minLrRatio: 0.5 }, [1, 11]), [2, 1])
  })

  it("keeps the end value beyond the last step", () => close(rates({ lrSchedule: "linear" }, [11, 50]), [0, 0]))
})
