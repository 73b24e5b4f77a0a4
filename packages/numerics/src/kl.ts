import { tf, type Tensor } from "@plumbline/runtime"

/**
 * Estimates of KL(policy ‖ reference) from tokens sampled by the policy, elementwise and in nats.
 *
 *   k1 = log π − log π_ref              unbiased, may be negative
 *   k2 = ½ (log π − log π_ref)²         ≥ 0, biased; its gradient is the KL's
 *   |k1|                                ≥ 0, biased: punishes every deviation, as NeMo-Aligner does
 *   k3 = e^(log π_ref − log π) − 1 − (log π_ref − log π)   ≥ 0, unbiased
 *
 * All are 0 where policy = reference.
 *
 * @see Schulman 2020, http://joschu.net/blog/kl-approx.html
 */
export type KlEstimator = (policyLogProbs: Tensor, referenceLogProbs: Tensor) => Tensor

export const k1: KlEstimator = (policy, reference) => tf.sub(policy, reference)

export const absoluteK1: KlEstimator = (policy, reference) => tf.abs(tf.sub(policy, reference))

export const k2: KlEstimator = (policy, reference) => tf.mul(0.5, tf.square(tf.sub(policy, reference)))

export const k3: KlEstimator = (policy, reference) => {
  const gap = tf.sub(reference, policy)
  return tf.sub(tf.expm1(gap), gap)
}
