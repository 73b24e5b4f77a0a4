import { ModelRuntime } from "@plumbline/runtime"
import type { FirstStep } from "@plumbline/training"
import { Effect } from "effect"
import { examined } from "../before-run/examined.ts"
import { inPassing } from "../before-run/in-passing.ts"
import type { Target } from "../before-run/target.ts"
import { isFirstProcess } from "../processes.ts"
import { byteText as bytes, countText as count } from "../quantities.ts"
import { duration } from "../run-text.ts"
import { print, printJson } from "../terminal.ts"

/**
 * The plan of a run whose data are made as it goes: its first steps are made in memory, rollouts and rewards included, and the
 * others are taken to be like them.
 */
export const measuredPlan = Effect.fnUntraced(function* (target: Target, json: boolean) {
  const { step, used } = yield* inPassing(target, (run) =>
    Effect.gen(function* () {
      const { outcome } = yield* examined(run, { timed: true })
      if ("failure" in outcome) return yield* Effect.fail(outcome.failure)
      const { peakBytes, reservedBytes } = (yield* ModelRuntime).memory()
      return { step: outcome.step, used: peakBytes ?? reservedBytes }
    })
  )
  if (!isFirstProcess()) return
  yield* json ? printJson(planJson(step, used)) : print(planText(step, used))
})

/** Seconds that all steps take. */
const secondsOf = ({ seconds, steps, stepsPerExperience }: FirstStep): number =>
  steps * (seconds.experience / stepsPerExperience + seconds.step)

/** `about 27m05s: 2.1 s to get the data of 4 steps, and 1.2 s to learn from them at each` */
const timeText = (step: FirstStep): string => {
  const { seconds, stepsPerExperience } = step
  const shared = stepsPerExperience === 1 ? "a step" : `${stepsPerExperience} steps`
  return `about ${duration(secondsOf(step))}: ${short(seconds.experience)} to get the data of ${shared}, and ${short(seconds.step)} to learn from them at each`
}

const short = (seconds: number): string => `${Number(seconds.toPrecision(2))} s`

const FLOAT_BYTES = 4

/** Weights that are trained and their two moments, float32; each checkpoint, and at the end the weights alone. */
const diskOf = ({ checkpoints, trainedParameters }: FirstStep) => {
  const checkpoint = 3 * trainedParameters * FLOAT_BYTES
  return { checkpoint, all: checkpoints * checkpoint + trainedParameters * FLOAT_BYTES }
}

const planJson = (step: FirstStep, used: number | undefined) => ({
  trained_parameters: step.trainedParameters,
  steps: step.steps,
  tokens_per_step: step.metrics["num_tokens"],
  seconds: secondsOf(step),
  measured: {
    experience_seconds: step.seconds.experience,
    steps_per_experience: step.stepsPerExperience,
    step_seconds: step.seconds.step
  },
  memory_bytes: { measured: used ?? null },
  checkpoint_bytes: diskOf(step).checkpoint,
  disk_bytes: diskOf(step).all
})

const planText = (step: FirstStep, used: number | undefined): string => {
  const { all, checkpoint } = diskOf(step)
  const facts = [
    ["model", `${count(step.trainedParameters)} parameters are trained, by ${step.algorithm}`],
    ["data", `${step.metrics["num_tokens"]} tokens at the first step`],
    ["steps", String(step.steps)],
    ["time", timeText(step)],
    ...(used === undefined ? [] : [["memory", `${bytes(used)} at most in use so far`]]),
    ["disk", `${bytes(all)} at the end; a checkpoint takes ${bytes(checkpoint)}`]
  ]
  return facts.map(([name, value]) => `${name!.padEnd(9)}${value}`).join("\n")
}
