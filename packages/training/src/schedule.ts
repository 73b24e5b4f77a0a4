import { Schema } from "effect"

export const ScheduleName = Schema.Literals(["constant", "linear", "cosine"])
export type ScheduleName = typeof ScheduleName.Type

export interface ScheduleOptions {
  readonly lrSchedule: ScheduleName
  readonly learningRate: number
  /** Steps over which the rate rises linearly from 0. */
  readonly warmupSteps: number
  readonly maxSteps: number
  /** Share of the learning rate that linear and cosine end at. */
  readonly minLrRatio: number
}

/**
 * Learning rate of an optimizer step, as the Hugging Face schedulers count: the first step of a warm-up has
 * rate 0, and decay runs from the end of the warm-up to `maxSteps`.
 *
 *   constant  1
 *   linear    1 − p
 *   cosine    ½ (1 + cos πp),   p = (step − 1 − warmup) / (maxSteps − warmup)
 *
 * each mapped from [0, 1] to [minLrRatio, 1].
 *
 * @param step 1-based
 */
export const learningRateAt = (options: ScheduleOptions, step: number): number => {
  const done = step - 1
  const { learningRate, maxSteps, minLrRatio, warmupSteps } = options
  if (done < warmupSteps) return (learningRate * done) / warmupSteps
  const progress = Math.min(1, (done - warmupSteps) / Math.max(1, maxSteps - warmupSteps))
  return learningRate * (minLrRatio + (1 - minLrRatio) * SHAPES[options.lrSchedule](progress))
}

const SHAPES: Readonly<Record<ScheduleName, (progress: number) => number>> = {
  constant: () => 1,
  linear: (progress) => 1 - progress,
  cosine: (progress) => 0.5 * (1 + Math.cos(Math.PI * progress))
}
