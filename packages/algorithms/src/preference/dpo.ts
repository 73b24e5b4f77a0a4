import { tf, type Tensor1D } from "@plumbline/runtime"
import { type Divergence, reverseKl } from "./divergence.ts"
import { checkLabelSmoothing, smoothedLoss } from "./label-smoothing.ts"
import type { PreferenceLoss } from "./preference-loss.ts"

export interface DpoOptions {
  /** Strength of the pull toward the reference policy; 0.1–0.5 is usual. */
  readonly beta: number
  /** Share of pairs assumed mislabelled, in [0, ½). 0 is plain DPO, above 0 is conservative DPO. */
  readonly labelSmoothing?: number
  /** Divergence whose score replaces the log-ratio; reverse KL is plain DPO. */
  readonly divergence?: Divergence
}

/**
 * Direct Preference Optimization.
 *
 *   L = −(1−ε)·log σ(β·h) − ε·log σ(−β·h),   h = s(chosen) − s(rejected)
 *
 * s is the identity on the log-ratio, or a divergence's score. With policy = reference every pair costs ln 2.
 *
 * @throws LossInvalid where ε is outside [0, ½)
 * @see Rafailov et al. 2023, eq. 7, https://arxiv.org/abs/2305.18290
 * @see Mitchell 2023 (conservative DPO), eq. 3, https://ericmitchell.ai/cdpo.pdf
 */
export const dpo = ({ beta, divergence = reverseKl, labelSmoothing = 0 }: DpoOptions): PreferenceLoss => {
  checkLabelSmoothing("dpo", labelSmoothing)
  return {
    name: "dpo",
    options: { beta, labelSmoothing, divergence: divergence.name },
    beta,
    atReference: Math.LN2,
    perPair: ({ chosen, rejected }) =>
      smoothedLoss(tf.mul<Tensor1D>(beta, tf.sub(divergence.score(chosen), divergence.score(rejected))), labelSmoothing)
  }
}
