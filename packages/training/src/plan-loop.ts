import { Effect } from "effect"
import { OptionsInvalid } from "./errors.ts"
import type { LoopOptions } from "./options.ts"
import type { ProgressOptions } from "./progress-decision.ts"

/** When the loop evaluates, saves and ends; options that contradict each other are an error. */
export const planLoop = Effect.fnUntraced(function* (
  options: LoopOptions,
  stepsPerEpoch: number,
  canEvaluate: boolean
) {
  const maxSteps = options.maxSteps ?? Math.max(1, Math.floor(stepsPerEpoch * options.epochs))
  const evaluates = canEvaluate && options.evalEvery > 0
  const saveEvery = options.saveEvery ?? (evaluates ? options.evalEvery : 100)
  if (evaluates && saveEvery % options.evalEvery !== 0) {
    return yield* new OptionsInvalid({
      option: "--save-every",
      reason: `${saveEvery} is not a multiple of --eval-every ${options.evalEvery}; a checkpoint needs its evaluation`
    })
  }
  const plan: ProgressOptions = { maxSteps, evalEvery: options.evalEvery, saveEvery, canEvaluate }
  return plan
})
