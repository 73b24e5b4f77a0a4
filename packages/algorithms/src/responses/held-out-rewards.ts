import type { Tokenizer } from "@plumbline/data"
import type { Policy } from "@plumbline/models"
import type { Reward, RewardError } from "@plumbline/reward-model"
import { type GenerationError, Generator, type GeneratorShape } from "@plumbline/rollout-generation"
import { philoxStream } from "@plumbline/runtime"
import type { Evaluation } from "@plumbline/training"
import { Effect } from "effect"
import { judgedResponses } from "./judged-responses.ts"
import { PromptData } from "./prompt-data.ts"
import type { ResponseOptions } from "./responses.ts"
import { rolloutReport } from "./rollout-report.ts"

export interface HeldOutRewardsOptions extends Omit<ResponseOptions, "maxLength"> {
  /** Who writes, where `Generator` is not the policy's. */
  readonly generator?: GeneratorShape | undefined
}

type Needs = Generator | Policy | PromptData | Reward | Tokenizer

/**
 * The `evaluation` of an algorithm that learns from rewards: what the policy as it is answers to the held-out prompts of
 * `PromptData`, judged by the `Reward` it learns from. `{ ...grpo(options), evaluation: heldOutRewards(…) }`
 *
 * Every evaluation draws the same random numbers, so what changes between two of them is the policy. There is none where no
 * prompt is held out.
 */
export const heldOutRewards = ({
  generator,
  seed,
  ...options
}: HeldOutRewardsOptions): Effect.Effect<
  Evaluation<GenerationError | RewardError, Needs> | undefined,
  never,
  PromptData
> =>
  Effect.map(PromptData, ({ heldOut, maxLength }) => {
    if (heldOut.length === 0) return undefined
    const drawn = { ...options, maxLength, seed: philoxStream(seed, "evaluation").uint32(0) }
    const judged = Effect.map(judgedResponses(heldOut, 0, drawn), (groups) => means(rolloutReport(groups)))
    return generator === undefined ? judged : Effect.provideService(judged, Generator, generator)
  })

/** Of what was measured at least once. */
const means = (report: Readonly<Record<string, Float32Array>>): Readonly<Record<string, number>> =>
  Object.fromEntries(
    Object.entries(report)
      .filter(([, values]) => values.length > 0)
      .map(([name, values]) => [name, values.reduce((sum, value) => sum + value, 0) / values.length])
  )
