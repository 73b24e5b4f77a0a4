import { tf, type Tensor1D } from "@plumbline/runtime"
import { checkLabelSmoothing, smoothedLoss } from "./label-smoothing.ts"
import type { PreferenceLoss } from "./preference-loss.ts"

export interface AotOptions {
  /** Strength of the pull toward the reference policy. */
  readonly beta: number
  /** Share of pairs assumed mislabelled, in [0, ½). */
  readonly labelSmoothing?: number
}

/**
 * Alignment via optimal transport on pairs: the policy's gaps are to dominate the reference's as a distribution, so
 * both are sorted before they are compared.
 *
 *   d_k = k-th smallest (log π(chosen) − log π(rejected)) − k-th smallest of the same under π_ref
 *   L   = mean over k of −(1−ε)·log σ(β·d_k) − ε·log σ(−β·d_k)
 *
 * Pairs are sorted over the global batch, so micro-batches do not change it. With policy = reference it is ln 2.
 *
 * @throws LossInvalid where ε is outside [0, ½)
 * @see Melnyk et al. 2024, https://arxiv.org/abs/2406.05882
 */
export const aot = ({ beta, labelSmoothing = 0 }: AotOptions): PreferenceLoss => {
  checkLabelSmoothing("aot", labelSmoothing)
  return {
    name: "aot",
    options: { beta, labelSmoothing },
    beta,
    coupled: true,
    perPair: ({ chosen, policyChosen, policyRejected, rejected }) => {
      const policy = tf.sub<Tensor1D>(policyChosen, policyRejected)
      const reference = tf.sub<Tensor1D>(policy, tf.sub(chosen, rejected))
      return smoothedLoss(tf.mul<Tensor1D>(beta, tf.sub(sorted(policy), sorted(reference))), labelSmoothing)
    }
  }
}

/**
 * The same without pairs: the log-ratios of all chosen responses are to dominate those of all rejected ones.
 *
 *   d_k = k-th smallest chosen log-ratio − k-th smallest rejected log-ratio;   L as in `aot`
 *
 * @throws LossInvalid where ε is outside [0, ½)
 * @see Melnyk et al. 2024, https://arxiv.org/abs/2406.05882
 */
export const aotUnpaired = ({ beta, labelSmoothing = 0 }: AotOptions): PreferenceLoss => {
  checkLabelSmoothing("aot-unpaired", labelSmoothing)
  return {
    name: "aot-unpaired",
    options: { beta, labelSmoothing },
    beta,
    coupled: true,
    perPair: ({ chosen, rejected }) =>
      smoothedLoss(tf.mul<Tensor1D>(beta, tf.sub(sorted(chosen), sorted(rejected))), labelSmoothing)
  }
}

/** [P], ascending; the gradient goes to where each value came from. */
const sorted = (values: Tensor1D): Tensor1D => {
  const host = values.dataSync()
  const order = Array.from(host, (_, i) => i).toSorted((a, b) => host[a]! - host[b]! || a - b)
  return tf.gather(values, tf.tensor1d(order, "int32"))
}
