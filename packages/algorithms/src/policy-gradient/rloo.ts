import { leaveOneOut } from "./advantages/leave-one-out.ts"
import { sequenceMean } from "./aggregation.ts"
import { type OnlineOptions, policyGradient } from "./policy-gradient.ts"
import { sequenceClip } from "./surrogates/clip.ts"

/**
 * REINFORCE leave-one-out: the mean reward of the other responses to the prompt is the baseline, the whole response is
 * one action. The ratio of the response is clipped, as in TRL; on the first step on a rollout that changes nothing.
 *
 * @see Ahmadian et al. 2024, https://arxiv.org/abs/2402.14740
 */
export const rloo = <E = never, R = never>(options: OnlineOptions<E, R>) =>
  policyGradient<E, R>({
    name: "rloo",
    advantage: leaveOneOut({ endedOnly: false, scale: false }),
    surrogate: sequenceClip({ low: 0.2, high: 0.2 }),
    // every token of a response has its ratio, so that their mean is the response's
    aggregation: sequenceMean(),
    ...options
  })
