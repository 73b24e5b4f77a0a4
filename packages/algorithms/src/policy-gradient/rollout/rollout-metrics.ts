import { deviation, mean } from "../advantages/advantage.ts"
import { agesOf } from "./age.ts"
import type { PreparedRow } from "./prepare.ts"
import type { Rollout } from "./rollout.ts"

/**
 * What there is to say of a rollout, under TRL's names: rewards before penalties, lengths in tokens, how
 * many groups were all alike (nothing is learnt from those), how old, in versions, the weights were that wrote it. Groups
 * that were put aside count among the rewards and lengths.
 *
 * @param version of the weights before the first step on it
 */
export const rolloutMetrics = (
  rollout: Rollout,
  rows: ReadonlyArray<PreparedRow>,
  version: number
): Readonly<Record<string, number>> => {
  // what the policy does, not only what it learns from
  const written = [...rollout.groups, ...rollout.aside]
  const responses = written.flatMap((group) => group.responses)
  const lengths = responses.map(({ responseIds }) => responseIds.length)
  const ended = responses.filter((response) => response.ended).map(({ responseIds }) => responseIds.length)
  const ages = agesOf(rollout, version)
  return {
    ...rewardMetrics(written),
    "completions/mean_length": mean(lengths),
    "completions/min_length": least(lengths),
    "completions/max_length": most(lengths),
    "completions/clipped_ratio": 1 - ended.length / responses.length,
    ...(ended.length > 0 && {
      "completions/mean_terminated_length": mean(ended),
      "completions/min_terminated_length": least(ended),
      "completions/max_terminated_length": most(ended)
    }),
    "rollout/masked": rows.filter(({ maskedBecause }) => maskedBecause !== undefined).length / Math.max(1, rows.length),
    ...(ages.length > 0 && {
      "rollout/staleness_mean": mean(ages),
      "rollout/staleness_max": most(ages)
    })
  }
}

const least = (numbers: ReadonlyArray<number>) => numbers.reduce((a, b) => Math.min(a, b), Infinity)
const most = (numbers: ReadonlyArray<number>) => numbers.reduce((a, b) => Math.max(a, b), 0)

const rewardMetrics = (groups: Rollout["groups"]): Readonly<Record<string, number>> => {
  const byGroup = groups
    .map(({ responses }) => responses.flatMap(({ reward }) => (reward === undefined ? [] : [reward])))
    .filter((rewards) => rewards.length > 0)
  if (byGroup.length === 0) return {}
  const spreads = byGroup.map(deviation)
  return {
    reward: mean(byGroup.flat()),
    reward_std: mean(spreads),
    frac_reward_zero_std: spreads.filter((spread) => spread === 0).length / spreads.length,
    ...partMetrics(groups)
  }
}

const partMetrics = (groups: Rollout["groups"]): Readonly<Record<string, number>> => {
  const values = new Map<string, Array<number>>()
  for (const { name, value } of groups.flatMap(({ responses }) => responses.flatMap(({ parts }) => parts))) {
    if (value === undefined) continue
    const own = values.get(name)
    if (own === undefined) values.set(name, [value])
    else own.push(value)
  }
  return Object.fromEntries(
    [...values].flatMap(([name, own]) => [
      [`rewards/${name}/mean`, mean(own)],
      [`rewards/${name}/std`, deviation(own)]
    ])
  )
}
