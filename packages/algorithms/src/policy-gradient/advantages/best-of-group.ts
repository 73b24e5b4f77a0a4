import { type Advantage, byGroup, deviation, everyToken, totalRewards } from "./advantage.ts"

/** As in verl. */
const EPSILON = 1e-6

/**
 * pass@k: only the best response of a group learns, from how far it is ahead of the second.
 *
 *   A_best = (max − second) / (std(group) + 10⁻⁶),   0 for the others
 *
 * @see Walder & Karkhanis 2025, https://arxiv.org/abs/2505.15201, and verl's `grpo_passk`
 */
export const bestOfGroup = (): Advantage => ({
  name: "best-of-group",
  options: {},
  leastGroup: 2,
  of: (responses) => {
    const rewards = totalRewards(responses)
    const advantages = byGroup(responses.groups, (rows) => {
      const own = rows.map((row) => rewards[row]!)
      const best = own.indexOf(Math.max(...own))
      const second = Math.max(...own.filter((_, i) => i !== best))
      const lead = (own[best]! - second) / (deviation(own) + EPSILON)
      return own.map((_, i) => (i === best ? lead : 0))
    })
    return { tokens: everyToken(advantages, responses) }
  }
})
