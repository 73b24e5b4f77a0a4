import { tf, type Tensor1D } from "@plumbline/runtime"
import { checkLabelSmoothing, smoothedLoss } from "../preference/label-smoothing.ts"
import { imitateChosen } from "./imitation.ts"
import type { ReferenceFreeLoss } from "./reference-free-loss.ts"

export interface SimpoOptions {
  /** Scale of the implicit rewards, β times the mean log-prob; the paper takes 2–2.5. */
  readonly beta: number
  /** γ: by how much the chosen response's reward is to be the larger one. */
  readonly margin: number
  /** Share of pairs assumed mislabelled, in [0, ½). */
  readonly labelSmoothing?: number
  /** Weight of the chosen responses' cross-entropy; 0 when absent, which is the paper's. */
  readonly imitationWeight?: number
}

/**
 * Simple preference optimization: mean log-probs as rewards, a margin between them, no reference.
 *
 *   L = −log σ(β·(log π(chosen)/|chosen| − log π(rejected)/|rejected|) − γ)
 *
 * Label smoothing mixes in the flipped label; `imitationWeight` adds the chosen cross-entropy (CPO-SimPO).
 *
 * @throws LossInvalid where ε is outside [0, ½) or the weight is negative
 * @see Meng et al. 2024, eq. 6, https://arxiv.org/abs/2405.14734
 */
export const simpo = ({ beta, imitationWeight = 0, labelSmoothing = 0, margin }: SimpoOptions): ReferenceFreeLoss => {
  checkLabelSmoothing("simpo", labelSmoothing)
  return {
    name: "simpo",
    options: { beta, margin, labelSmoothing, imitationWeight },
    lengthNormalized: true,
    reward: (logProbs) => tf.mul<Tensor1D>(beta, logProbs),
    perPair: ({ chosen, rejected }) =>
      smoothedLoss(tf.sub<Tensor1D>(tf.mul(beta, tf.sub(chosen, rejected)), margin), labelSmoothing),
    imitation: imitateChosen("simpo", imitationWeight)
  }
}
