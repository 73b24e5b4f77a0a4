import type { LifeWatch } from "@plumbline/rollout-generation"
import { Effect } from "effect"
import { HttpClient } from "effect/http"
import { type RewardError, RewardTimedOut } from "../errors.ts"
import type { RewardGroup } from "../reward-request.ts"
import type { PartName, RewardShape } from "../reward-shape.ts"
import { askRewards } from "./ask-rewards.ts"
import { readResults } from "./read-results.ts"
import type { RemoteRewardOptions } from "./remote-options.ts"

/**
 * A server that scores, as a reward. It is posted the responses of one group,
 *
 *   { "rows": [{ "id", "prompt", "response", "input_ids"?, "messages"?, "answer"?, "fields"? }, …] }
 *
 * and answers `{ "results": [{ "id", "reward", "parts"? }, …] }`, in the same order. What is down, slow or wrong is a failure that
 * names the row and the address, within the deadline.
 */
export const remoteReward = (options: RemoteRewardOptions): Effect.Effect<RewardShape, never, HttpClient.HttpClient> =>
  Effect.map(HttpClient.HttpClient, (client) => rewardOver(client, options))

/** The same over a client. @param life of the server, where it has been asked already */
export const rewardOver = (
  client: HttpClient.HttpClient,
  options: RemoteRewardOptions,
  life?: LifeWatch
): RewardShape => {
  const parts = partsOf(options)
  const ask = askRewards(client, options, parts[0]!.name, life)
  const judgeOne = (group: RewardGroup) =>
    ask(group).pipe(
      Effect.flatMap((answer) =>
        Effect.fromResult(readResults(answer, { group, parts, named: options.parts !== undefined, url: options.url }))
      ),
      Effect.map((responses) => ({ responses })),
      inTime(group, parts[0]!.name, options)
    )
  return {
    parts,
    judge: (groups) => Effect.forEach(groups, judgeOne, { concurrency: options.maxConcurrency ?? 16 })
  }
}

export const partsOf = ({ name = "remote", parts, weight = 1 }: RemoteRewardOptions): ReadonlyArray<PartName> =>
  parts ?? [{ name, weight }]

const inTime =
  ({ row }: RewardGroup, part: string, { deadlineSeconds: seconds = 60, url }: RemoteRewardOptions) =>
  <A, R>(work: Effect.Effect<A, RewardError, R>): Effect.Effect<A, RewardError, R> =>
    Effect.timeoutOrElse(work, {
      duration: seconds * 1000,
      orElse: () => Effect.fail(new RewardTimedOut({ row, part, seconds, url }))
    })
