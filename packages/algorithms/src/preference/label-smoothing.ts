import { logSigmoid } from "@plumbline/numerics"
import { tf, type Tensor1D } from "@plumbline/runtime"
import { LossInvalid } from "../loss-invalid.ts"

/**
 * Cross-entropy of preferences of which a share ε is labelled the wrong way round: −(1−ε)·log σ(x) − ε·log σ(−x).
 *
 * @param logits         [P] float32, log-odds that the chosen response is the better one
 * @param labelSmoothing ε in [0, ½)
 * @returns              [P]
 */
export const smoothedLoss = (logits: Tensor1D, labelSmoothing: number): Tensor1D => {
  const kept = tf.mul(1 - labelSmoothing, logSigmoid(logits))
  const flipped = tf.mul(labelSmoothing, logSigmoid(tf.neg(logits)))
  return tf.neg(tf.add(kept, flipped))
}

/** @throws LossInvalid where ε is outside [0, ½) */
export const checkLabelSmoothing = (loss: string, labelSmoothing: number): void => {
  if (labelSmoothing >= 0 && labelSmoothing < 0.5) return
  const reason = "at ½ the labels say nothing, above it they say the opposite"
  throw new LossInvalid({ loss, reason: `a label smoothing of ${labelSmoothing} is not in [0, ½): ${reason}` })
}
