import type { PartName } from "../reward-shape.ts"

/** How to reach a server that scores. */
export interface RemoteRewardOptions {
  /** Where rows are posted, e.g. `http://127.0.0.1:8000/v1/rewards`. */
  readonly url: string
  /** Sent as `Authorization: Bearer`. */
  readonly token?: string
  /** The parts that the server names in each result, with their weights; its `reward` alone when absent. */
  readonly parts?: ReadonlyArray<PartName>
  /** Name of the one part when `parts` is absent; "remote" when absent. */
  readonly name?: string
  readonly weight?: number
  /** Whether rows carry the policy's token ids beside the text: for a server whose tokenizer is the policy's. False when absent. */
  readonly tokenIds?: boolean
  /** Seconds for a group, retries included; 60 when absent. */
  readonly deadlineSeconds?: number
  /** Times that a group is sent again after a lost connection, 408, 429 or 5xx; 3 when absent. */
  readonly maxRetries?: number
  /** Milliseconds before the first of these, twice as many before each later one; 250 when absent. */
  readonly retryDelay?: number
  /** Groups on their way at the same time; 16 when absent. */
  readonly maxConcurrency?: number
}
