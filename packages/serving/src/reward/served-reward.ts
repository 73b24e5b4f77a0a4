import type { TokenizerShape, TokenizerThread } from "@plumbline/data"
import type { ScalarModel } from "@plumbline/models"
import type { AttributeWeights, Scorer } from "@plumbline/reward-model"

/** A reward model as clients know it. */
export interface ServedReward {
  /** What `/v1/models` lists. */
  readonly id: string
  /** Other names that requests may use for it. */
  readonly aliases: ReadonlyArray<string>
  /** Unix time in seconds. */
  readonly created: number
  readonly tokenizer: TokenizerShape
  readonly tokenizerThread: TokenizerThread
  readonly model: ScalarModel
  readonly scorer: Scorer
  /** What each attribute counts in the reward where a request does not say. */
  readonly weights: AttributeWeights
}
