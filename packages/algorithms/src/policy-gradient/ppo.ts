import { Critic } from "./critic/critic.ts"
import { generalizedAdvantage, type GeneralizedAdvantageOptions } from "./advantages/generalized.ts"
import { tokenMean } from "./aggregation.ts"
import { type OnlineOptions, policyGradient } from "./policy-gradient.ts"
import { clip } from "./surrogates/clip.ts"

export type PpoOptions<E = never, R = never> = Partial<GeneralizedAdvantageOptions> &
  Omit<OnlineOptions<E, R>, "critic">

/**
 * Proximal policy optimization: a critic says what reward is still to come, and advantages are what came instead, by
 * generalized advantage estimation, whitened over the rollout. The KL to the reference belongs into the reward
 * (`kl.place`). The critic learns from the same minibatches, with an optimizer of its own, while the policy does.
 *
 * Deviation from NeMo-Aligner: every token of a step weighs the same, whatever micro-batch it falls into.
 *
 * @see Schulman et al. 2017, https://arxiv.org/abs/1707.06347
 * @see Ouyang et al. 2022, §3.5, https://arxiv.org/abs/2203.02155
 */
export const ppo = <E = never, R = never>({
  discount = 1,
  gaeLambda = 0.95,
  whiten = true,
  ...options
}: PpoOptions<E, R>) =>
  policyGradient<E, R | Critic>({
    name: "ppo",
    advantage: generalizedAdvantage({ discount, gaeLambda, whiten }),
    surrogate: clip({ low: 0.2, high: 0.2 }),
    aggregation: tokenMean(),
    ...options,
    critic: Critic
  })
