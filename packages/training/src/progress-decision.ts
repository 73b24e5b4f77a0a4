export interface ProgressOptions {
  readonly maxSteps: number
  /** Steps between held-out evaluations; 0 = never. */
  readonly evalEvery: number
  /** Steps between checkpoints; 0 = never. */
  readonly saveEvery: number
  /** Whether there is held-out data to evaluate on. */
  readonly canEvaluate: boolean
}

export interface ProgressDecision {
  readonly evaluate: boolean
  readonly save: boolean
  readonly end: boolean
}

/**
 * What happens after a step: evaluation and checkpoints come at their intervals, and both at the last step and
 * when the time is up.
 */
export const decideProgress = (options: ProgressOptions, step: number, timeUp: boolean): ProgressDecision => {
  const { canEvaluate, evalEvery, maxSteps, saveEvery } = options
  const end = step === maxSteps
  return {
    evaluate: canEvaluate && evalEvery > 0 && (step % evalEvery === 0 || end || timeUp),
    save: saveEvery > 0 && (step % saveEvery === 0 || end || timeUp),
    end
  }
}
