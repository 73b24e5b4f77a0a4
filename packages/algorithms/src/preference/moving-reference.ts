import { blend, type CausalLM, ReferencePolicy } from "@plumbline/models"
import type { Algorithm, MicroBatch } from "@plumbline/training"
import { Effect } from "effect"

export interface MovingReferenceOptions {
  /** Steps between updates of the reference. */
  readonly every: number
  /** α in (0, 1]: share of the policy in the new reference; 1 replaces it. */
  readonly mixup: number
}

/**
 * TR-DPO: any algorithm with a reference policy, with the reference following the policy.
 *
 *   π_ref := α·π + (1−α)·π_ref, weight by weight, after every k-th step
 *
 * The reference is saved with every checkpoint, so a resumed run goes on exactly. It must have variables
 * (`ReferencePolicy.layerMovable`).
 *
 * @see Gorbatovski et al. 2024, https://arxiv.org/abs/2404.09656
 */
export const movingReference = <B extends MicroBatch, E, R>(
  algorithm: Algorithm<{ readonly policy: CausalLM }, B, E, R>,
  { every, mixup }: MovingReferenceOptions
): Algorithm<{ readonly policy: CausalLM }, B, E, R | ReferencePolicy> => ({
  ...algorithm,
  name: `tr-${algorithm.name}`,
  config: { algorithm: algorithm.config, every, mixup },
  carried: Effect.map(ReferencePolicy, (reference) => ({ reference })),
  afterStep: (step, { policy }) =>
    step % every === 0 ? Effect.map(ReferencePolicy, (reference) => blend(reference, policy, mixup)) : Effect.void
})
