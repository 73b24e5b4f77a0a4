import type { RewardedResponses } from "./advantage.ts"

/** Rewards of single tokens: penalties where they fall, the response's reward on its last counted token. */
export const rewardsByToken = ({ masks, rewards, tokenRewards }: RewardedResponses): ReadonlyArray<Float64Array> =>
  masks.map((mask, r) => {
    const own = Float64Array.from(mask, (counts, t) => (counts === 1 ? (tokenRewards?.[r]?.[t] ?? 0) : 0))
    const last = mask.lastIndexOf(1)
    if (last >= 0) own[last]! += rewards[r]!
    return own
  })

/** Σ of what comes from each counted token on, each token later worth `discount` less; tokens between do not count. */
export const discountedReturns = (
  rewards: ReadonlyArray<Float64Array>,
  masks: ReadonlyArray<Uint8Array>,
  discount: number
): ReadonlyArray<Float64Array> =>
  rewards.map((own, r) => {
    const returns = new Float64Array(own.length)
    let later = 0
    for (let t = own.length - 1; t >= 0; t--) {
      if (masks[r]![t] !== 1) continue
      later = own[t]! + discount * later
      returns[t] = later
    }
    return returns
  })
