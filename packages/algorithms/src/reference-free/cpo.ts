import { tf, type Tensor1D } from "@plumbline/runtime"
import { checkLabelSmoothing, smoothedLoss } from "../preference/label-smoothing.ts"
import { imitateChosen } from "./imitation.ts"
import type { ReferenceFreeLoss } from "./reference-free-loss.ts"

export interface CpoOptions {
  /** Scale of the implicit rewards β·log π. */
  readonly beta: number
  /** Weight of the chosen responses' cross-entropy; 1 when absent. */
  readonly imitationWeight?: number
}

export interface CpoSigmoidOptions extends CpoOptions {
  /** Share of pairs assumed mislabelled, in [0, ½). */
  readonly labelSmoothing?: number
}

/**
 * Contrastive preference optimization: DPO with a uniform reference, and imitation of the chosen responses.
 *
 *   L = −(1−ε)·log σ(z) − ε·log σ(−z) + α·NLL(chosen),   z = β·(log π(chosen) − log π(rejected))
 *
 * @throws LossInvalid where ε is outside [0, ½) or α is negative
 * @see Xu et al. 2024, eq. 5, https://arxiv.org/abs/2401.08417
 */
export const cpo = ({ beta, imitationWeight = 1, labelSmoothing = 0 }: CpoSigmoidOptions): ReferenceFreeLoss => {
  checkLabelSmoothing("cpo", labelSmoothing)
  return {
    name: "cpo",
    options: { beta, imitationWeight, labelSmoothing },
    lengthNormalized: false,
    reward: (logProbs) => tf.mul<Tensor1D>(beta, logProbs),
    perPair: ({ chosen, rejected }) => smoothedLoss(tf.mul<Tensor1D>(beta, tf.sub(chosen, rejected)), labelSmoothing),
    imitation: imitateChosen("cpo", imitationWeight)
  }
}

/**
 * CPO with the hinge of SLiC.
 *
 *   L = max(0, 1 − β·(log π(chosen) − log π(rejected))) + α·NLL(chosen)
 *
 * @throws LossInvalid where α is negative
 * @see Zhao et al. 2023, eq. 1, https://arxiv.org/abs/2305.10425
 */
export const cpoHinge = ({ beta, imitationWeight = 1 }: CpoOptions): ReferenceFreeLoss => ({
  name: "cpo-hinge",
  options: { beta, imitationWeight },
  lengthNormalized: false,
  reward: (logProbs) => tf.mul<Tensor1D>(beta, logProbs),
  perPair: ({ chosen, rejected }) => tf.relu(tf.sub<Tensor1D>(1, tf.mul(beta, tf.sub(chosen, rejected)))),
  imitation: imitateChosen("cpo-hinge", imitationWeight)
})

/**
 * CPO with the square of IPO, on mean log-probs.
 *
 *   L = (log π(chosen)/|chosen| − log π(rejected)/|rejected| − 1/(2β))² + α·NLL(chosen)
 *
 * @throws LossInvalid where α is negative
 * @see Azar et al. 2023, eq. 17, https://arxiv.org/abs/2310.12036
 */
export const cpoIpo = ({ beta, imitationWeight = 1 }: CpoOptions): ReferenceFreeLoss => ({
  name: "cpo-ipo",
  options: { beta, imitationWeight },
  lengthNormalized: true,
  reward: (logProbs) => tf.mul<Tensor1D>(beta, logProbs),
  perPair: ({ chosen, rejected }) => tf.square(tf.sub<Tensor1D>(tf.sub(chosen, rejected), 1 / (2 * beta))),
  imitation: imitateChosen("cpo-ipo", imitationWeight)
})
