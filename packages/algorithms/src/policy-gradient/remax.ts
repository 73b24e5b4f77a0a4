import { greedyBaseline } from "./advantages/baselines.ts"
import { tokenMean } from "./aggregation.ts"
import { type OnlineOptions, policyGradient } from "./policy-gradient.ts"
import { logLikelihood } from "./surrogates/likelihood.ts"

/**
 * ReMax: the reward of the greedy response is the baseline, one more response a prompt instead of a critic.
 *
 * @see Li et al. 2023, https://arxiv.org/abs/2310.10505
 */
export const remax = <E = never, R = never>(options: OnlineOptions<E, R>) =>
  policyGradient<E, R>({
    name: "remax",
    advantage: greedyBaseline(),
    surrogate: logLikelihood(),
    aggregation: tokenMean(),
    ...options
  })
