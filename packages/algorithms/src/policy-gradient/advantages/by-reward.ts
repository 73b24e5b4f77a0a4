import { type Advantage, byGroup, deviation, everyToken, mean, type RewardedResponses } from "./advantage.ts"

export interface ByRewardOptions {
  /** Weight of each part of the reward, by name; 1 where absent. */
  readonly weights: Readonly<Record<string, number>>
}

/** Added to each deviation, as in TRL. */
const EPSILON = 1e-4

/**
 * GDPO: each part of the reward is normalized in its group, then their weighted sum over the rollout. Summed first, a
 * part of large spread would drown the others.
 *
 * @see Liu et al. 2026, https://arxiv.org/abs/2601.05242
 */
export const normalizedByReward = ({ weights }: ByRewardOptions): Advantage => ({
  name: "by-reward",
  options: { weights },
  leastGroup: 2,
  of: (responses) => {
    const sums = new Float64Array(responses.groups.length)
    for (const [name, part] of Object.entries(responses.parts)) {
      const normalized = inGroups(part, responses)
      normalized.forEach((value, r) => (sums[r]! += (weights[name] ?? 1) * value))
    }
    const [middle, spread] = [mean(sums), deviation(sums) + EPSILON]
    return {
      tokens: everyToken(
        sums.map((sum) => (sum - middle) / spread),
        responses
      )
    }
  }
})

const inGroups = (part: Float64Array, { groups }: RewardedResponses): Float64Array =>
  byGroup(groups, (rows) => {
    const own = rows.map((row) => part[row]!)
    const [middle, spread] = [mean(own), deviation(own) + EPSILON]
    return own.map((value) => (value - middle) / spread)
  })
