import { type Advantage, byGroup, deviation, everyToken, groupRows, mean, totalRewards } from "./advantage.ts"

export interface GroupNormalizedOptions {
  /** Whose standard deviation (n − 1) divides: the group's, the whole rollout's, or nobody's (Dr.GRPO). */
  readonly scale: "group" | "batch" | "none"
}

/** Added to the deviation, as in TRL: a group of equal rewards has advantage 0, not 0/0. */
const EPSILON = 1e-4

/**
 * A response against the other responses to its prompt:
 *
 *   A = (R − mean(group)) / (std(group) + 10⁻⁴)
 *
 * Without scale it is Dr.GRPO's, which does not favour prompts that are nearly always or nearly never answered right.
 *
 * @see Shao et al. 2024, §4.1.2, https://arxiv.org/abs/2402.03300
 * @see Liu et al. 2025 (Dr.GRPO), eq. 4, https://arxiv.org/abs/2503.20783
 */
export const groupNormalized = ({ scale }: GroupNormalizedOptions): Advantage => ({
  name: "group-normalized",
  options: { scale },
  leastGroup: 2,
  of: (responses) => {
    const rewards = totalRewards(responses)
    const whole = deviation(rewards) + EPSILON
    const advantages = byGroup(responses.groups, (rows) => {
      const own = rows.map((row) => rewards[row]!)
      const middle = mean(own)
      const divisor = { group: deviation(own) + EPSILON, batch: whole, none: 1 }[scale]
      return own.map((reward) => (reward - middle) / divisor)
    })
    return { tokens: everyToken(advantages, responses) }
  }
})

/**
 * GPG: the group's mean alone as baseline, scaled up for the groups of the rollout that teach nothing:
 *
 *   A = α·(R − mean(group)),   α = groups / groups whose rewards differ
 *
 * For `logLikelihood`. verl's α counts rewards that are not 0 in place of groups that teach.
 *
 * @see Chu et al. 2025, eq. 6–7, https://arxiv.org/abs/2504.02546
 */
export const groupCentred = (): Advantage => ({
  name: "group-centred",
  options: {},
  leastGroup: 2,
  of: (responses) => {
    const rewards = totalRewards(responses)
    const groups = groupRows(responses.groups)
    const teaching = groups.filter((rows) => rows.some((row) => rewards[row] !== rewards[rows[0]!])).length
    const scale = groups.length / Math.max(1, teaching)
    const advantages = byGroup(responses.groups, (rows) => {
      const middle = mean(rows.map((row) => rewards[row]!))
      return rows.map((row) => scale * (rewards[row]! - middle))
    })
    return { tokens: everyToken(advantages, responses) }
  }
})
