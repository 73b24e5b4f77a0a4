import type { CausalLM } from "@plumbline/models"
import type { KlEstimator } from "@plumbline/numerics"
import type { Effect } from "effect"

/** What keeps the policy near its reference: a coefficient, an estimate by token, and whom it is measured against. */
interface KlTerm<E, R> {
  readonly coefficient: KlCoefficient
  /** Name and function of the estimate: k1, k2, k3 or the absolute value of k1. */
  readonly estimator: NamedEstimator
  /** The frozen policy: the `ReferencePolicy` service, or the policy without its adapters. */
  readonly reference: Effect.Effect<CausalLM, E, R>
}

export interface NamedEstimator {
  readonly name: string
  readonly estimate: KlEstimator
}

/** Added to the loss of each token. Only k2 and, with the ratio as a factor, k3 have the gradient of the KL there. */
export interface KlInLoss<E = never, R = never> extends KlTerm<E, R> {
  readonly place: "loss"
  /** Whether the estimate is weighed by the token's ratio, which corrects its gradient away from the sampler (TRL). */
  readonly weighedByRatio: boolean
}

/** Taken from the reward of each token before advantages are computed; no gradient of its own. */
export interface KlInReward<E = never, R = never> extends KlTerm<E, R> {
  readonly place: "reward"
}

export type KlPenalty<E = never, R = never> = KlInLoss<E, R> | KlInReward<E, R>

/** β: fixed, or led so that the measured KL comes to a target. */
export interface KlCoefficient {
  readonly initial: number
  /** Whether `next` looks at the KL, which then must be measured before the first step on a rollout. */
  readonly adaptive: boolean
  /** After a rollout. @param measured mean KL of its responses, nats: sums over their tokens */
  readonly next: (current: number, measured: number, responses: number) => number
  readonly options: unknown
}

export const fixedKl = (coefficient: number): KlCoefficient => ({
  initial: coefficient,
  adaptive: false,
  next: (current) => current,
  options: { coefficient }
})

export interface AdaptiveKlOptions {
  readonly initial: number
  /** Wanted KL of a response, nats: a sum over its tokens. */
  readonly target: number
  /** Responses over which the coefficient may change by a fifth. */
  readonly horizon: number
}

/**
 * β ← β·(1 + clip(KL/target − 1, ±0.2)·responses/horizon) after every rollout.
 *
 * @see Ziegler et al. 2019, §2.2, https://arxiv.org/abs/1909.08593
 */
export const adaptiveKl = (options: AdaptiveKlOptions): KlCoefficient => ({
  initial: options.initial,
  adaptive: true,
  next: (current, measured, responses) => {
    const error = Math.max(-0.2, Math.min(0.2, measured / options.target - 1))
    return current * (1 + (error * responses) / options.horizon)
  },
  options
})
