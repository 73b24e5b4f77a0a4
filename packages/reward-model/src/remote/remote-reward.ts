import { jsonOf, persistently, sender } from "@plumbline/rollout-generation"
import { Effect } from "effect"
import { HttpClient } from "effect/http"
import { type RewardError, RewardFailed, RewardTimedOut } from "../errors.ts"
import type { RewardGroup } from "../reward-request.ts"
import type { PartName, RewardShape } from "../reward-shape.ts"
import { idOf, readResults } from "./read-results.ts"
import type { RemoteRewardOptions } from "./remote-options.ts"

/**
 * A server that scores, as a reward. It is posted the responses of one group,
 *
 *   { "rows": [{ "id", "prompt", "response", "messages"?, "answer"?, "fields"? }, …] }
 *
 * and answers `{ "results": [{ "id", "reward", "parts"? }, …] }`, in the same order. What is down, slow or wrong is a failure that
 * names the row, within the deadline.
 */
export const remoteReward = (options: RemoteRewardOptions): Effect.Effect<RewardShape, never, HttpClient.HttpClient> =>
  Effect.map(HttpClient.HttpClient, (client) => {
    const { maxConcurrency = 16, name = "remote", weight = 1 } = options
    const parts: ReadonlyArray<PartName> = options.parts ?? [{ name, weight }]
    const send = sender(client, {
      baseUrl: options.url,
      ...(options.token === undefined ? {} : { token: options.token })
    })
    const judgeOne = (group: RewardGroup) => {
      const once = Effect.scoped(Effect.flatMap(send("", { rows: rowsOf(group) }), jsonOf))
      return persistently(once, { maxRetries: 3, ...options }).pipe(
        Effect.mapError(({ reason }) => new RewardFailed({ row: group.row, part: parts[0]!.name, reason })),
        Effect.flatMap((answer) => Effect.fromResult(readResults(answer, group, parts, options.parts !== undefined))),
        Effect.map((responses) => ({ responses })),
        inTime(group, parts[0]!.name, options.deadlineSeconds ?? 60)
      )
    }
    return {
      parts,
      judge: (groups) => Effect.forEach(groups, judgeOne, { concurrency: maxConcurrency })
    }
  })

const rowsOf = (group: RewardGroup) =>
  group.responses.map(({ text }, i) => ({
    id: idOf(group, i),
    prompt: group.prompt.text,
    response: text,
    ...(group.prompt.messages === undefined ? {} : { messages: group.prompt.messages }),
    ...(group.answer === undefined ? {} : { answer: group.answer }),
    ...(group.fields === undefined ? {} : { fields: group.fields })
  }))

const inTime =
  ({ row }: RewardGroup, part: string, seconds: number) =>
  <A, R>(work: Effect.Effect<A, RewardError, R>): Effect.Effect<A, RewardError, R> =>
    Effect.timeoutOrElse(work, {
      duration: seconds * 1000,
      orElse: () => Effect.fail(new RewardTimedOut({ row, part, seconds }))
    })
