import { logSigmoid } from "@plumbline/numerics"
import { tf, type Tensor1D } from "@plumbline/runtime"
import { type Divergence, reverseKl } from "./divergence.ts"
import type { PreferenceLoss } from "./preference-loss.ts"

export interface SigmoidNormOptions {
  /** Strength of the pull toward the reference policy, for a token; 2–10 is usual. */
  readonly beta: number
  /** Divergence whose score replaces the log-ratio. */
  readonly divergence?: Divergence
}

/**
 * Length-normalized DPO: scores are means over the response's tokens.
 *
 *   L = −log σ(β·(s(chosen)/|chosen| − s(rejected)/|rejected|))
 *
 * With policy = reference every pair costs ln 2.
 *
 * @see Lambert et al. 2024 (Tülu 3), https://arxiv.org/abs/2411.15124
 */
export const sigmoidNorm = ({ beta, divergence = reverseKl }: SigmoidNormOptions): PreferenceLoss => ({
  name: "sigmoid-norm",
  options: { beta, divergence: divergence.name },
  beta,
  atReference: Math.LN2,
  perPair: ({ chosen, chosenLengths, rejected, rejectedLengths }) => {
    const better = tf.div(divergence.score(chosen), chosenLengths)
    const worse = tf.div(divergence.score(rejected), rejectedLengths)
    return tf.neg(logSigmoid(tf.mul<Tensor1D>(beta, tf.sub(better, worse))))
  }
})
