import { jsonOf, type LifeWatch, lifeWatch, originOf, persistently, sender } from "@plumbline/rollout-generation"
import { Effect } from "effect"
import type { HttpClient } from "effect/http"
import { RewardFailed } from "../errors.ts"
import type { RewardGroup } from "../reward-request.ts"
import { idOf } from "./read-results.ts"
import type { RemoteRewardOptions } from "./remote-options.ts"

/** Who waits for rewards: of servers of others nobody knows whether they answer while they score. */
export const rewardLife = (client: HttpClient.HttpClient, { url }: RemoteRewardOptions): LifeWatch =>
  lifeWatch(client, { url: originOf(url), trustsHealth: false })

/** Posts the responses of a group, again after what may pass. @returns whatever JSON the server answered */
export const askRewards = (
  client: HttpClient.HttpClient,
  options: RemoteRewardOptions,
  part: string,
  life: LifeWatch = rewardLife(client, options)
) => {
  const { token, tokenIds = false, url } = options
  const send = sender(client, { baseUrl: url, ...(token === undefined ? {} : { token }) }, life)
  return (group: RewardGroup): Effect.Effect<unknown, RewardFailed> => {
    const once = Effect.scoped(Effect.flatMap(send("", { rows: rowsOf(group, tokenIds) }), jsonOf))
    return life
      .over(persistently(once, { maxRetries: 3, ...options }))
      .pipe(Effect.mapError(({ reason }) => new RewardFailed({ row: group.row, part, reason: `${url}: ${reason}` })))
  }
}

const rowsOf = (group: RewardGroup, tokenIds: boolean) =>
  group.responses.map(({ ids, text }, i) => ({
    id: idOf(group, i),
    prompt: group.prompt.text,
    response: text,
    ...(tokenIds ? { input_ids: [...group.prompt.ids, ...ids] } : {}),
    ...(group.prompt.messages === undefined ? {} : { messages: group.prompt.messages }),
    ...(group.answer === undefined ? {} : { answer: group.answer }),
    ...(group.fields === undefined ? {} : { fields: group.fields })
  }))
