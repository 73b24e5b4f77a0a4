import { type Advantage, byGroup, everyToken, mean, totalRewards } from "./advantage.ts"
import { discountedReturns, rewardsByToken } from "./token-rewards.ts"
import { whiten } from "./whiten.ts"

export interface WhitenedReturnsOptions {
  /** What a reward one token later is worth; 1 is usual. */
  readonly discount: number
}

/**
 * REINFORCE++: the return of each token, penalties included, whitened over all tokens of the rollout.
 *
 * @see Hu 2025, https://arxiv.org/abs/2501.03262
 */
export const whitenedReturns = ({ discount }: WhitenedReturnsOptions): Advantage => ({
  name: "whitened-returns",
  options: { discount },
  of: (responses) => {
    const returns = discountedReturns(rewardsByToken(responses), responses.masks, discount)
    return { tokens: whiten(returns, responses.masks, { variance: "sample", center: true }) }
  }
})

/**
 * REINFORCE++-baseline: a response against its group's mean, whitened over all tokens of the rollout; no deviation of
 * the group, so an easy prompt is not blown up.
 *
 * @see Hu 2025, §3.2, https://arxiv.org/abs/2501.03262
 */
export const whitenedGroups = (): Advantage => ({
  name: "whitened-groups",
  options: {},
  leastGroup: 2,
  of: (responses) => {
    const rewards = totalRewards(responses)
    const centred = byGroup(responses.groups, (rows) => {
      const middle = mean(rows.map((row) => rewards[row]!))
      return rows.map((row) => rewards[row]! - middle)
    })
    const tokens = everyToken(centred, responses)
    return { tokens: whiten(tokens, responses.masks, { variance: "sample", center: true }) }
  }
})
