import { groupNormalized, type GroupNormalizedOptions } from "./advantages/group-normalized.ts"
import { tokenMean } from "./aggregation.ts"
import { type OnlineOptions, policyGradient } from "./policy-gradient.ts"
import { clip } from "./surrogates/clip.ts"

export type GrpoOptions<E = never, R = never> = Partial<GroupNormalizedOptions> & OnlineOptions<E, R>

/**
 * Group Relative Policy Optimization: a response's advantage is its reward relative to the other responses to the same
 * prompt, so no value model is needed.
 *
 * Two deviations from the paper, both TRL's defaults: no KL, and every token of the batch weighs the same (DAPO), where
 * the paper averages within each response first. Relatives are other surrogates, aggregations or scales.
 *
 * @see Shao et al. 2024, §4.1, https://arxiv.org/abs/2402.03300
 */
export const grpo = <E = never, R = never>({ scale = "group", ...options }: GrpoOptions<E, R>) =>
  policyGradient<E, R>({
    name: "grpo",
    advantage: groupNormalized({ scale }),
    surrogate: clip({ low: 0.2, high: 0.2 }),
    aggregation: tokenMean(),
    ...options
  })
