import { tf, type Tensor1D } from "@plumbline/runtime"
import { checkedWeights, type ClassWeights, classWeights, signs } from "./class-weights.ts"
import type { Baseline, UnpairedLoss } from "./unpaired-loss.ts"

export interface KtoOptions extends Partial<ClassWeights> {
  /** Strength of the pull toward the reference policy. */
  readonly beta: number
}

/**
 * Kahneman–Tversky optimization: responses judged one by one, with the value a person would feel compared with what the
 * policy says elsewhere.
 *
 *   L = λ_D·(1 − σ(β·(r − z)))  desirable,   λ_U·(1 − σ(β·(z − r)))  undesirable
 *   z = max(0, mean over the batch of log π(y′|x) − log π_ref(y′|x)),  y′ the response to another prompt
 *
 * r is the log-ratio. z carries no gradient and is a mean over the global batch, so micro-batches do not change it. With policy =
 * reference every response costs half its class's weight.
 *
 * @throws LossInvalid where a weight is negative
 * @see Ethayarajh et al. 2024, eq. 7 and 8, https://arxiv.org/abs/2402.01306
 */
export const kto = ({ beta, ...weights }: KtoOptions): UnpairedLoss => {
  const checked = checkedWeights("kto", weights)
  return {
    name: "kto",
    options: { beta, ...checked },
    beta,
    baseline: mismatchedMean,
    perResponse: ({ baseline, desirable, logRatios }) => {
      const worse = tf.mul(signs(desirable), tf.sub<Tensor1D>(baseline, logRatios))
      return tf.mul(classWeights(desirable, checked), tf.sigmoid(tf.mul<Tensor1D>(beta, worse)))
    }
  }
}

/** An estimate of KL(π ‖ π_ref), never negative. */
const mismatchedMean: Baseline = {
  metric: "kl",
  over: "mismatched",
  of: (logRatios) => Math.max(0, logRatios.reduce((sum, ratio) => sum + ratio, 0) / logRatios.length)
}
