import { Effect, Schema } from "effect"
import { PromptData } from "../../responses/prompt-data.ts"
import type { CriticShape } from "../critic/critic.ts"
import type { PolicyGradientOptions } from "../policy-gradient.ts"
import { type CollectError, collectRollout, type Replacing } from "./collect.ts"
import type { RolloutOrder } from "./rollout-queue.ts"
import { sparePrompts } from "./spare-prompts.ts"
import { teaches } from "./teaches.ts"

/** No prompt that was tried for the first rollout of a run teaches anything. */
export class NothingToLearn extends Schema.TaggedError<NothingToLearn>()("NothingToLearn", {
  /** Prompts that were tried. */
  prompts: Schema.Int
}) {
  override get message() {
    return (
      `none of the first ${this.prompts} prompts has responses of different rewards, so there is nothing to learn: take ` +
      "harder or easier prompts, more --samples, or a larger --dynamic-sampling"
    )
  }
}

export type WriteError = CollectError | NothingToLearn

/** How a rollout is written: who values it, and the stream its samples are drawn from. */
export interface Writing extends RolloutOrder {
  readonly critic: CriticShape | undefined
  readonly stream: string
}

/** Writes the responses of a rollout, and has them judged. */
export const writeRollout = Effect.fn("writeRollout")(function* <E, R>(
  options: PolicyGradientOptions<E, R>,
  { index, ...writing }: Writing
) {
  const { maxLength = Infinity, sampler, units } = yield* PromptData
  const { advantage, dynamicSampling, maskTruncated = false, seed } = options
  const own = sampler.indices(index)
  const replacing: Replacing | undefined =
    dynamicSampling === undefined
      ? undefined
      : {
          spares: sparePrompts(units, own, { index, most: dynamicSampling * own.length, seed }),
          teaches: (group) => teaches(group, { advantage, maskTruncated })
        }
  const prompts = Array.from(own, (unit) => units[unit]!)
  const rollout = yield* collectRollout(index, prompts, {
    samples: options.samples,
    sampling: options.sampling,
    maxLength,
    seed,
    greedy: advantage.needs === "greedy",
    generationTimeout: options.generationTimeout ?? 600,
    rewardTimeout: options.rewardTimeout ?? 600,
    replacing,
    ...writing
  })
  // later on, with all learnt that there is, a rollout without a group moves no weight
  if (index === 0 && rollout.groups.length === 0) return yield* new NothingToLearn({ prompts: rollout.aside.length })
  return rollout
})
