import type { TokenizedTriple } from "@plumbline/data"
import { cpo } from "./cpo.ts"
import { imitateGold } from "./imitation.ts"
import type { ReferenceFreeLoss } from "./reference-free-loss.ts"
import { simpo } from "./simpo.ts"

export interface TpoOptions {
  /** Scale of the implicit rewards. */
  readonly beta: number
  /** Weight of the gold responses' cross-entropy; 1 when absent. */
  readonly imitationWeight?: number
  /** Share of pairs assumed mislabelled, in [0, ½). */
  readonly labelSmoothing?: number
}

export interface TpoNormalizedOptions extends TpoOptions {
  /** γ: by how much the chosen response's reward is to be the larger one. */
  readonly margin: number
}

/**
 * Triple preference optimization: a gold response is imitated while a pair is told apart.
 *
 *   L = −log σ(β·(log π(chosen) − log π(rejected))) + α·NLL(gold)
 *
 * @throws LossInvalid where ε is outside [0, ½) or α is negative
 * @see Saeidi et al. 2024, https://arxiv.org/abs/2405.16681
 */
export const tpo = ({ imitationWeight = 1, ...options }: TpoOptions): ReferenceFreeLoss<TokenizedTriple> => ({
  ...cpo({ ...options, imitationWeight: 0 }),
  name: "tpo",
  options: { ...options, imitationWeight },
  imitation: imitateGold("tpo", imitationWeight)
})

/**
 * The same on mean log-probs with a margin (TPO-L).
 *
 *   L = −log σ(β·(log π(chosen)/|chosen| − log π(rejected)/|rejected|) − γ) + α·NLL(gold)
 *
 * @throws LossInvalid where ε is outside [0, ½) or α is negative
 * @see Saeidi et al. 2024, https://arxiv.org/abs/2405.16681
 */
export const tpoNormalized = ({
  imitationWeight = 1,
  ...options
}: TpoNormalizedOptions): ReferenceFreeLoss<TokenizedTriple> => ({
  ...simpo(options),
  name: "tpo-l",
  options: { ...options, imitationWeight },
  imitation: imitateGold("tpo-l", imitationWeight)
})
