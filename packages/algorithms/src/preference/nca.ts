import { logSigmoid } from "@plumbline/numerics"
import { tf, type Tensor1D } from "@plumbline/runtime"
import type { PreferenceLoss } from "./preference-loss.ts"

export interface NcaOptions {
  /** Scale of the implicit rewards. */
  readonly beta: number
}

/**
 * Noise contrastive alignment on pairs: each response against the reference policy, so that the chosen one's
 * likelihood cannot fall with the gap still growing.
 *
 *   L = −log σ(β·chosen) − ½·log σ(−β·chosen) − ½·log σ(−β·rejected)
 *
 * With policy = reference every pair costs 2·ln 2.
 *
 * @see Chen et al. 2024, https://arxiv.org/abs/2402.05369
 */
export const nca = ({ beta }: NcaOptions): PreferenceLoss => ({
  name: "nca",
  options: { beta },
  beta,
  perPair: ({ chosen, rejected }) => {
    const [better, worse] = [tf.mul<Tensor1D>(beta, chosen), tf.mul<Tensor1D>(beta, rejected)]
    const noise = tf.mul<Tensor1D>(0.5, tf.add(logSigmoid(tf.neg(better)), logSigmoid(tf.neg(worse))))
    return tf.neg(tf.add(logSigmoid(better), noise))
  }
})
