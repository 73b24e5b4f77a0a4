import type { RewardPart } from "@plumbline/reward-model"

/** One response of a rollout, judged; host data. */
export interface RolloutResponse {
  /** [L] int32, the token that ended it included */
  readonly responseIds: Int32Array
  /** [L] float32, nats, under the distribution each token was drawn from */
  readonly samplingLogProbs: Float32Array
  /** [L] float32, nats, under the policy itself; absent where the response is one of the store's */
  readonly policyLogProbs?: Float32Array | undefined
  /** [L] int32, version of the weights that made each token */
  readonly policyVersions: Int32Array
  /** Whether it ended by itself. */
  readonly ended: boolean
  /** As people, and rewards, read it. */
  readonly text: string
  /** Absent where a reward abstained. */
  readonly reward?: number | undefined
  readonly parts: ReadonlyArray<RewardPart>
  /** [L] float32: what the critic expects from before each token on; where there is a critic */
  readonly values?: Float32Array | undefined
}

/** The responses to one prompt. Two equal prompts of a rollout are two groups. */
export interface RolloutGroup {
  /** Number of the prompt: of those that the rollout began with, then of those that took the place of others. */
  readonly place: number
  /** Of the prompt, e.g. "train.jsonl:17". */
  readonly origin: string
  readonly promptIds: Int32Array
  readonly promptText: string
  /** Of the group's samples. */
  readonly seed: number
  readonly responses: ReadonlyArray<RolloutResponse>
  /** Reward of the greedy response, where it was asked for. */
  readonly greedyReward?: number | undefined
}

/** Number of a response in its rollout. */
export const rowNumber = ({ place, responses }: RolloutGroup, sample: number): number =>
  place * responses.length + sample

export interface Rollout {
  /** Counts from 0. */
  readonly index: number
  readonly groups: ReadonlyArray<RolloutGroup>
  /** Groups that nothing can be learnt from, and which others have taken the place of. */
  readonly aside: ReadonlyArray<RolloutGroup>
  /** Seconds, and whatever else was measured while it was made. */
  readonly measured: Readonly<Record<string, number>>
}
