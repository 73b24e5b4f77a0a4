import { whitenedGroups, whitenedReturns } from "./advantages/reinforce-plus-plus.ts"
import { tokenMean } from "./aggregation.ts"
import { type OnlineOptions, policyGradient } from "./policy-gradient.ts"
import { clip } from "./surrogates/clip.ts"

export type ReinforcePlusPlusOptions<E = never, R = never> = OnlineOptions<E, R> & {
  /** Whether rewards are held against their group's mean first, which takes several responses a prompt. */
  readonly groupBaseline?: boolean
  readonly discount?: number
}

/**
 * REINFORCE++: PPO's clipping without a critic, on returns whitened over the whole rollout.
 *
 * @see Hu 2025, https://arxiv.org/abs/2501.03262
 */
export const reinforcePlusPlus = <E = never, R = never>({
  discount = 1,
  groupBaseline = false,
  ...options
}: ReinforcePlusPlusOptions<E, R>) =>
  policyGradient<E, R>({
    name: "reinforce++",
    advantage: groupBaseline ? whitenedGroups() : whitenedReturns({ discount }),
    surrogate: clip({ low: 0.2, high: 0.2 }),
    aggregation: tokenMean(),
    ...options
  })
