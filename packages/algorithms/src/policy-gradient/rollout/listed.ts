import type { RewardedResponses } from "../advantages/advantage.ts"
import { type Rollout, type RolloutResponse, rowNumber } from "./rollout.ts"

/** A response before anything was computed of it. */
export interface Listed {
  /** Place in the list. */
  readonly at: number
  /** In its rollout, those that were put aside counted too. */
  readonly number: number
  /** Number of its group among those that are learnt from. */
  readonly group: number
  readonly sample: number
  readonly origin: string
  readonly promptIds: Int32Array
  readonly response: RolloutResponse
  readonly greedyReward: number | undefined
}

/** The responses of a rollout that are learnt from, in order. */
export const listed = ({ groups, index }: Pick<Rollout, "groups" | "index">): ReadonlyArray<Listed> =>
  groups
    .flatMap((one, group) =>
      one.responses.map((response, sample) => ({
        number: rowNumber(one, sample),
        group,
        sample,
        origin: `${one.origin}, rollout ${index}, sample ${sample}`,
        promptIds: one.promptIds,
        response,
        greedyReward: one.greedyReward
      }))
    )
    .map((one, at) => ({ ...one, at }))

/** What advantages are computed of. @param judged responses that have a reward; the others are in nobody's baseline */
export const rewarded = (
  judged: ReadonlyArray<Listed>,
  penalties?: ReadonlyArray<Float64Array>
): RewardedResponses => ({
  groups: Int32Array.from(judged, ({ group }) => group),
  rewards: Float64Array.from(judged, ({ response }) => response.reward!),
  parts: partsOf(judged),
  masks: judged.map(({ response }) => new Uint8Array(response.responseIds.length).fill(1)),
  tokenRewards: penalties && judged.map(({ at }) => penalties[at]!),
  ended: Uint8Array.from(judged, ({ response }) => (response.ended ? 1 : 0)),
  values: judged[0]?.response.values && judged.map(({ response }) => response.values!),
  greedyRewards: Float64Array.from(judged, ({ greedyReward }) => greedyReward ?? 0)
})

const partsOf = (judged: ReadonlyArray<Listed>): RewardedResponses["parts"] => {
  const names = judged[0]?.response.parts.map(({ name }) => name) ?? []
  return Object.fromEntries(
    names.map((name, i) => [name, Float64Array.from(judged, ({ response }) => response.parts[i]!.value!)])
  )
}
