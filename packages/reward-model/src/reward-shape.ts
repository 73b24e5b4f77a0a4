import type { Effect } from "effect"
import type { RewardError } from "./errors.ts"
import type { JudgedGroup, Judgement, RewardGroup, RewardPart } from "./reward-request.ts"

export interface PartName {
  readonly name: string
  readonly weight: number
}

export interface RewardShape {
  /** What each judgement is made of; names are unique. */
  readonly parts: ReadonlyArray<PartName>
  /**
   * Judges all groups, and answers in their order. Groups are independent: what else is judged beside one changes
   * nothing in it, unless the reward normalises over the batch. The first failure fails all of it; a reward is never made up.
   */
  readonly judge: (groups: ReadonlyArray<RewardGroup>) => Effect.Effect<ReadonlyArray<JudgedGroup>, RewardError>
  /**
   * What the reward remembers from batch to batch, such as running means: plain data, for checkpoints. Absent where it
   * remembers nothing.
   */
  readonly memory?: RewardMemory
}

export interface RewardMemory {
  readonly read: Effect.Effect<Readonly<Record<string, number>>>
  readonly restore: (memory: Readonly<Record<string, number>>) => Effect.Effect<void>
}

/** The judgement that parts make up. */
export const judgement = (parts: ReadonlyArray<RewardPart>): Judgement => {
  let reward: number | undefined = 0
  for (const { value, weight } of parts) {
    reward = reward === undefined || value === undefined ? undefined : reward + weight * value
  }
  return { reward, parts }
}
