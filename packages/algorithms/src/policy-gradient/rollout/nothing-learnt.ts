import type { PreparedRow } from "./prepare.ts"
import type { RolloutResponse } from "./rollout.ts"

/** Why rewards teach the policy nothing of a rollout, for whoever reads along; undefined where they do. */
export const nothingLearnt = (
  rows: ReadonlyArray<Pick<PreparedRow, "advantages" | "group" | "maskedBecause" | "reward">>,
  responses: ReadonlyArray<Pick<RolloutResponse, "ended">>
): string | undefined => {
  const counted = rows.filter(({ maskedBecause }) => maskedBecause === undefined)
  if (rows.length === 0 || counted.some(({ advantages }) => advantages.some((advantage) => advantage !== 0))) {
    return undefined
  }
  const all = rows.length === 1 ? "the one response" : `all ${rows.length} responses`
  const cut = rows.filter(({ maskedBecause }) => maskedBecause === "truncated").length
  if (cut === rows.length) return `${all} were cut by --max-new-tokens, and --mask-truncated leaves those out`
  if (counted.length === 0) return `${all} were cut, or have no reward`
  if (haveOneReward(counted)) return "the responses to each prompt have the same reward"
  const ended = responses.filter((response) => response.ended).length
  return `of ${rows.length} responses ${ended} came to an end before --max-new-tokens, and those alone are compared with`
}

const haveOneReward = (rows: ReadonlyArray<Pick<PreparedRow, "group" | "reward">>): boolean => {
  const rewards = new Map<number, Set<number | undefined>>()
  for (const { group, reward } of rows) rewards.set(group, (rewards.get(group) ?? new Set()).add(reward))
  return [...rewards.values()].every(({ size }) => size === 1)
}
