import { batchBaseline } from "./advantages/baselines.ts"
import { leaveOneOut } from "./advantages/leave-one-out.ts"
import { tokenMean } from "./aggregation.ts"
import { type OnlineOptions, policyGradient } from "./policy-gradient.ts"
import { logLikelihood } from "./surrogates/likelihood.ts"

/**
 * REINFORCE as NeMo-Aligner has it: −A·log π without ratio or clip, the mean of the others as baseline, over the
 * responses that ended; with one response a prompt, the mean of the rollout.
 *
 * @see Williams 1992, https://doi.org/10.1007/BF00992696
 */
export const reinforce = <E = never, R = never>(options: OnlineOptions<E, R>) =>
  policyGradient<E, R>({
    name: "reinforce",
    advantage: options.samples === 1 ? batchBaseline() : leaveOneOut({ endedOnly: true, scale: false }),
    surrogate: logLikelihood(),
    aggregation: tokenMean(),
    ...options
  })
