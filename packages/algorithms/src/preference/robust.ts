import { logSigmoid } from "@plumbline/numerics"
import { tf, type Tensor1D } from "@plumbline/runtime"
import { type Divergence, reverseKl } from "./divergence.ts"
import { checkLabelSmoothing } from "./label-smoothing.ts"
import type { PreferenceLoss } from "./preference-loss.ts"

export interface RobustOptions {
  /** Strength of the pull toward the reference policy. */
  readonly beta: number
  /** Share of pairs that are labelled the wrong way round, in [0, ½). */
  readonly labelSmoothing: number
  /** Divergence whose score replaces the log-ratio. */
  readonly divergence?: Divergence
}

/**
 * Provably robust DPO: unbiased for the clean labels when a share ε of them is flipped. It may be negative.
 *
 *   L = [−(1−ε)·log σ(z) + ε·log σ(−z)] / (1 − 2ε),   z = β·(s(chosen) − s(rejected))
 *
 * With policy = reference every pair costs ln 2.
 *
 * @throws LossInvalid where ε is outside [0, ½): at ½ it divides by 0
 * @see Chowdhury et al. 2024, https://arxiv.org/abs/2403.00409
 */
export const robust = ({ beta, divergence = reverseKl, labelSmoothing }: RobustOptions): PreferenceLoss => {
  checkLabelSmoothing("robust", labelSmoothing)
  const scale = 1 / (1 - 2 * labelSmoothing)
  return {
    name: "robust",
    options: { beta, labelSmoothing, divergence: divergence.name },
    beta,
    perPair: ({ chosen, rejected }) => {
      const logits = tf.mul<Tensor1D>(beta, tf.sub(divergence.score(chosen), divergence.score(rejected)))
      const clean = tf.mul<Tensor1D>(scale * (labelSmoothing - 1), logSigmoid(logits))
      return tf.add(clean, tf.mul<Tensor1D>(scale * labelSmoothing, logSigmoid(tf.neg(logits))))
    }
  }
}
