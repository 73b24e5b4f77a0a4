import { tf } from "@plumbline/runtime"
import { type Divergence, reverseKl } from "./divergence.ts"
import type { PreferenceLoss } from "./preference-loss.ts"

export interface HingeOptions {
  /** Scale of the gap: pairs further apart than 1/β cost nothing. */
  readonly beta: number
  /** Divergence whose score replaces the log-ratio. */
  readonly divergence?: Divergence
}

/**
 * Hinge on the gap of scores.
 *
 *   L = max(0, 1 − β·(s(chosen) − s(rejected)))
 *
 * With policy = reference every pair costs 1.
 *
 * @see Liu et al. 2023 (RSO), §4.2, https://arxiv.org/abs/2309.06657
 */
export const hinge = ({ beta, divergence = reverseKl }: HingeOptions): PreferenceLoss => ({
  name: "hinge",
  options: { beta, divergence: divergence.name },
  beta,
  perPair: ({ chosen, rejected }) =>
    tf.relu(tf.sub(1, tf.mul(beta, tf.sub(divergence.score(chosen), divergence.score(rejected)))))
})
