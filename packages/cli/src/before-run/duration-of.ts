import type { FirstStep } from "@plumbline/training"
import { duration } from "../run-text.ts"

/** Seconds that all steps of a run take where each takes what the first one did. */
export const secondsOf = ({ seconds, steps, stepsPerExperience }: FirstStep): number =>
  steps * (seconds.experience / stepsPerExperience + seconds.step)

/** `about 27m05s for 500 steps: the first took 2.1s …` */
export const timeText = (step: FirstStep): string => {
  const { seconds, steps, stepsPerExperience } = step
  const shared = stepsPerExperience === 1 ? "" : `, which ${stepsPerExperience} steps share`
  return (
    `about ${duration(secondsOf(step))} for ${steps === 1 ? "the one step" : `${steps} steps`}: the first took ${duration(seconds.experience)} ` +
    `to get its data${shared}, and ${duration(seconds.step)} to learn from them`
  )
}
