import { tf, type Tensor1D } from "@plumbline/runtime"
import type { PreferenceLoss } from "./preference-loss.ts"

export interface ApoOptions {
  /** Scale of the implicit rewards. */
  readonly beta: number
}

const reward = (beta: number, logRatio: Tensor1D): Tensor1D => tf.sigmoid(tf.mul<Tensor1D>(beta, logRatio))

/**
 * Anchored preference optimization, zero: chosen responses go up and rejected ones down. For data whose chosen side is better
 * than what the model says.
 *
 *   L = 1 − σ(β·chosen) + σ(β·rejected)
 *
 * With policy = reference every pair costs 1.
 *
 * @see D'Oosterlinck et al. 2024, eq. 7, https://arxiv.org/abs/2408.06266
 */
export const apoZero = ({ beta }: ApoOptions): PreferenceLoss => ({
  name: "apo-zero",
  options: { beta },
  beta,
  perPair: ({ chosen, rejected }) => tf.add(tf.sub<Tensor1D>(1, reward(beta, chosen)), reward(beta, rejected))
})

/**
 * Anchored preference optimization, down: both responses go down, the rejected one further. For data whose chosen side is
 * worse than what the model says.
 *
 *   L = σ(β·chosen) + 1 − σ(β·(chosen − rejected))
 *
 * With policy = reference every pair costs 1.
 *
 * @see D'Oosterlinck et al. 2024, eq. 8, https://arxiv.org/abs/2408.06266
 */
export const apoDown = ({ beta }: ApoOptions): PreferenceLoss => ({
  name: "apo-down",
  options: { beta },
  beta,
  perPair: ({ chosen, rejected }) =>
    tf.add(reward(beta, chosen), tf.sub<Tensor1D>(1, reward(beta, tf.sub(chosen, rejected))))
})
