import type { ProgressOptions } from "./progress-decision.ts"

/** Checkpoints that are left of a run that came to its end: the newest ones, and the best where it evaluates. */
export const keptCheckpoints = (
  { canEvaluate, evalEvery, maxSteps, saveEvery }: ProgressOptions,
  keep: number
): number =>
  saveEvery === 0 ? 0 : Math.min(Math.ceil(maxSteps / saveEvery), keep + (canEvaluate && evalEvery > 0 ? 1 : 0))
