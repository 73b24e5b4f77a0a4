import { type Advantage, byGroup, everyToken, mean, totalRewards } from "./advantage.ts"

/** The mean reward of the whole rollout as baseline: plain REINFORCE. With a constant reward it is 0. */
export const batchBaseline = (): Advantage => ({
  name: "batch-baseline",
  options: {},
  of: (responses) => {
    const rewards = totalRewards(responses)
    const baseline = mean(rewards)
    return {
      tokens: everyToken(
        rewards.map((reward) => reward - baseline),
        responses
      )
    }
  }
})

/**
 * ReMax: the reward of the greedy response to the same prompt as baseline. A = R − R(greedy).
 *
 * @see Li et al. 2023, alg. 2, https://arxiv.org/abs/2310.10505
 */
export const greedyBaseline = (): Advantage => ({
  name: "greedy-baseline",
  options: {},
  needs: "greedy",
  of: (responses) => {
    const greedy = responses.greedyRewards
    if (greedy === undefined) throw new TypeError("the greedy baseline needs the rewards of greedy responses")
    const advantages = totalRewards(responses).map((reward, r) => reward - greedy[r]!)
    return { tokens: everyToken(advantages, responses) }
  }
})

/**
 * OPO: the baseline of least variance when gradients grow with length, Σ length·R / Σ length over the group.
 *
 * @see Hao et al. 2025, eq. 6, https://arxiv.org/abs/2505.23585
 */
export const lengthWeightedBaseline = (): Advantage => ({
  name: "length-weighted-baseline",
  options: {},
  leastGroup: 2,
  of: (responses) => {
    const rewards = totalRewards(responses)
    const lengths = responses.masks.map((mask) => mask.reduce((sum, counts) => sum + counts, 0))
    const advantages = byGroup(responses.groups, (rows) => {
      const tokens = rows.reduce((sum, row) => sum + lengths[row]!, 0)
      const weighted = rows.reduce((sum, row) => sum + lengths[row]! * rewards[row]!, 0)
      return rows.map((row) => (tokens === 0 ? 0 : rewards[row]! - weighted / tokens))
    })
    return { tokens: everyToken(advantages, responses) }
  }
})
