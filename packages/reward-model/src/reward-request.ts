import type { Message } from "@plumbline/data"

/** Responses to one prompt, to be judged. */
export interface RewardGroup {
  /** Names the row in failures, e.g. "train.jsonl:17". */
  readonly row: string
  readonly prompt: JudgedPrompt
  readonly responses: ReadonlyArray<JudgedResponse>
  /** What a right response says, where the data tell. */
  readonly answer?: string | undefined
  /** The whole row of the data, for rewards that need more of it. */
  readonly fields?: Readonly<Record<string, unknown>> | undefined
}

export interface JudgedPrompt {
  /** [T] int32, as the policy read it */
  readonly ids: Int32Array
  /** As people read it: where it is a chat, its rendered text. */
  readonly text: string
  /** Where the prompt is a chat. */
  readonly messages?: ReadonlyArray<Message> | undefined
}

export interface JudgedResponse {
  /** [L] int32, the token that ended it included */
  readonly ids: Int32Array
  /** As people read it, without special tokens. */
  readonly text: string
  /** Whether it ended by itself; false where a limit of tokens cut it. True when absent. */
  readonly finished?: boolean | undefined
}

/** The group's responses, each with its judgement, in their order. */
export interface JudgedGroup {
  readonly responses: ReadonlyArray<Judgement>
}

export interface Judgement {
  /**
   * Σ over parts of weight · value. Undefined where a part abstained: there is no reward then, and nothing may be
   * trained on the response; 0 is a reward.
   */
  readonly reward: number | undefined
  /** In the order of the reward's `parts`. */
  readonly parts: ReadonlyArray<RewardPart>
}

export interface RewardPart {
  readonly name: string
  readonly weight: number
  /** What the scorer said; undefined where it abstained. */
  readonly raw: number | undefined
  /** What is weighed: `raw`, once normalised and clipped where the reward does that. */
  readonly value: number | undefined
}
