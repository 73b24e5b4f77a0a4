import { logSigmoid } from "@plumbline/numerics"
import { tf, type Tensor1D } from "@plumbline/runtime"
import { type Divergence, reverseKl } from "./divergence.ts"
import { checkLabelSmoothing } from "./label-smoothing.ts"
import { LossInvalid } from "../loss-invalid.ts"
import type { PreferenceLoss } from "./preference-loss.ts"

export interface ExoOptions {
  /** Strength of the pull toward the reference policy. */
  readonly beta: number
  /** Share of pairs assumed mislabelled, in (0, ½); the paper takes 10⁻³. */
  readonly labelSmoothing: number
  /** Divergence whose score replaces the log-ratio. */
  readonly divergence?: Divergence
}

/**
 * Efficient Exact Optimization on pairs: the reverse KL from the policy's preference to the smoothed label.
 *
 *   L = σ(z)·[log σ(z) − log(1−ε)] + σ(−z)·[log σ(−z) − log ε],   z = β·(s(chosen) − s(rejected))
 *
 * It is 0 where σ(z) = 1 − ε.
 *
 * @throws LossInvalid where ε is outside (0, ½): log 0 is −∞
 * @see Ji et al. 2024, eq. 16, https://arxiv.org/abs/2402.00856
 */
export const exo = ({ beta, divergence = reverseKl, labelSmoothing }: ExoOptions): PreferenceLoss => {
  checkLabelSmoothing("exo", labelSmoothing)
  if (labelSmoothing === 0) {
    throw new LossInvalid({ loss: "exo", reason: "needs a label smoothing above 0 (10⁻³ is usual): log 0 is −∞" })
  }
  return {
    name: "exo",
    options: { beta, labelSmoothing, divergence: divergence.name },
    beta,
    perPair: ({ chosen, rejected }) => {
      const logits = tf.mul<Tensor1D>(beta, tf.sub(divergence.score(chosen), divergence.score(rejected)))
      const side = (x: Tensor1D, label: number) => tf.mul(tf.sigmoid(x), tf.sub(logSigmoid(x), Math.log(label)))
      return tf.add(side(logits, 1 - labelSmoothing), side(tf.neg(logits), labelSmoothing))
    }
  }
}
