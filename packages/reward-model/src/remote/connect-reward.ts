import { Effect, Result, Schema } from "effect"
import { HttpClient } from "effect/http"
import { type RewardError, RewardTimedOut, RewardUnavailable } from "../errors.ts"
import type { RewardGroup } from "../reward-request.ts"
import type { RewardShape } from "../reward-shape.ts"
import { askRewards, rewardLife } from "./ask-rewards.ts"
import { readResults } from "./read-results.ts"
import type { RemoteRewardOptions } from "./remote-options.ts"
import { partsOf, rewardOver } from "./remote-reward.ts"

/** Seconds within which a server must answer the trial. */
const PATIENCE = 30

export interface Connection {
  /** Is judged once before anything is made of it. */
  readonly trial: RewardGroup
  /** Digest of the policy's tokenizer. A server that answers with the same one is sent token ids from then on. */
  readonly tokenizer: string
}

/**
 * The reward of a server that has shown that it scores: a trial row went there and back. A server that is down, refuses or
 * has no scores to give fails here, before there is anything to lose.
 */
export const connectReward = Effect.fn("connectReward")(function* (
  options: RemoteRewardOptions,
  { tokenizer, trial }: Connection
): Effect.fn.Return<RewardShape, RewardUnavailable, HttpClient.HttpClient> {
  const { url } = options
  const parts = partsOf(options)
  const seconds = Math.min(PATIENCE, options.deadlineSeconds ?? PATIENCE)
  const client = yield* HttpClient.HttpClient
  const life = rewardLife(client, options)
  const answer = yield* askRewards(
    client,
    options,
    parts[0]!.name,
    life
  )(trial).pipe(
    Effect.timeoutOrElse({
      duration: seconds * 1000,
      orElse: () => Effect.fail(new RewardTimedOut({ row: trial.row, part: parts[0]!.name, seconds, url }))
    }),
    Effect.mapError((error) => new RewardUnavailable({ url, reason: reasonOf(error, url) }))
  )
  const read = readResults(answer, { group: trial, parts, named: options.parts !== undefined, url })
  if (Result.isFailure(read)) return yield* new RewardUnavailable({ url, reason: reasonOf(read.failure, url) })
  return rewardOver(client, { ...options, tokenIds: knows(tokenizer)(answer) }, life)
})

const knows = (tokenizer: string) => Schema.is(Schema.Struct({ tokenizer: Schema.Literal(tokenizer) }))

/** The failure without what its message says of row and address. */
const reasonOf = (error: RewardError, url: string): string => {
  if (error._tag === "RewardTimedOut") return `no answer in ${error.seconds} s`
  return error._tag === "RewardFailed" ? error.reason.replace(`${url}: `, "") : error.message
}
