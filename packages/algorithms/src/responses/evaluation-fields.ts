import { NonNegative, option, OptionsInvalid, PositiveInt } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { fileFields } from "../command-fields.ts"
import { heldOutRewards, type HeldOutRewardsOptions } from "./held-out-rewards.ts"
import type { ResponseOptions } from "./responses.ts"

/** How a command whose policy learns from rewards is held against prompts that it does not learn from. */
export const evaluationFields = {
  eval: fileFields.eval,
  evalSamples: option(PositiveInt, 1, "responses to each prompt of --eval, whose mean reward is eval_reward"),
  evalTemperature: option(NonNegative, 0, "temperature of these responses; 0 takes the most likely token"),
  monitor: option(Schema.String, "reward", "metric that chooses the best checkpoint; eval_reward is the held-out one"),
  monitorMode: option(Schema.Literals(["min", "max"]), "max", "whether the best is the lowest or the highest")
} as const

interface EvaluationFlags {
  readonly eval?: string | undefined
  readonly evalSamples: number
  readonly evalTemperature: number
  readonly seed: number
}

/** The flags as the `evaluation` of an algorithm whose policy writes like this. @param generator where `Generator` is not the policy's */
export const evaluationFrom = Effect.fnUntraced(function* (
  flags: EvaluationFlags,
  { deadlineSeconds, sampling }: Pick<ResponseOptions, "deadlineSeconds" | "sampling">,
  generator?: HeldOutRewardsOptions["generator"]
) {
  const { eval: file, evalSamples: samples, evalTemperature: temperature, seed } = flags
  const refuse = (option: string, reason: string) => new OptionsInvalid({ option, reason })
  if (file === undefined && temperature !== 0) return yield* refuse("--eval-temperature", "is read with --eval alone")
  if (file === undefined && samples !== 1) return yield* refuse("--eval-samples", "is read with --eval alone")
  if (temperature === 0 && samples !== 1) {
    return yield* refuse("--eval-samples", `${samples} greedy responses are all the same: give --eval-temperature, too`)
  }
  return heldOutRewards({ deadlineSeconds, generator, samples, sampling: { ...sampling, temperature }, seed })
})
