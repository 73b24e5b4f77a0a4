import { LossInvalid } from "../loss-invalid.ts"
import type { PreferenceLoss } from "./preference-loss.ts"

/**
 * WPO: any preference loss with pairs weighted by how likely the policy is to write both responses, which makes
 * off-policy data count like on-policy data.
 *
 *   L_i := w(chosen)·w(rejected)·L_i,   w(y) = exp(mean over t of [log π(y_t) − log Σ_v π(v)²])
 *
 * The weights carry no gradient, and the term of a chosen cross-entropy is not weighted. A response of which every token
 * has the probability that the policy's own samples have on average weighs 1.
 *
 * @throws LossInvalid where the loss sets pairs against one another: no part of it is one pair's own
 * @see Zhou et al. 2024, eq. 2, https://arxiv.org/abs/2406.11827
 */
export const onPolicyWeighted = ({ atReference: _unweighted, ...loss }: PreferenceLoss): PreferenceLoss => {
  if (loss.coupled === true) {
    const reason = `${loss.name} sets pairs against one another, so no part of it is one pair's to weigh`
    throw new LossInvalid({ loss: "wpo", reason })
  }
  return {
    ...loss,
    name: `wpo-${loss.name}`,
    options: { loss: loss.options },
    onPolicyWeights: true
  }
}
