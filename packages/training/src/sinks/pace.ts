/** How fast steps go by. Times in milliseconds of one clock. */
export interface Pace {
  readonly step: number
  readonly time: number
  /** Smoothed; undefined before the first step. */
  readonly millisecondsPerStep: number | undefined
  readonly observations: number
}

/** After this many observations the mean becomes an exponential one, which forgets. */
const MEMORY = 20

export const startPace = (step: number, time: number): Pace => ({
  step,
  time,
  millisecondsPerStep: undefined,
  observations: 0
})

/** Takes in that `step` was done at `time`: the plain mean of the first observations, then an exponential one. */
export const observeStep = (pace: Pace, step: number, time: number): Pace => {
  if (step <= pace.step) return pace
  const latest = (time - pace.time) / (step - pace.step)
  const observations = pace.observations + 1
  const mean = pace.millisecondsPerStep ?? latest
  const millisecondsPerStep = mean + (latest - mean) / Math.min(observations, MEMORY)
  return { step, time, millisecondsPerStep, observations }
}

/** Seconds until `total` steps are done at the present pace; undefined before the first step. */
export const secondsLeft = ({ step, millisecondsPerStep }: Pace, total: number): number | undefined =>
  millisecondsPerStep === undefined ? undefined : (Math.max(0, total - step) * millisecondsPerStep) / 1000
