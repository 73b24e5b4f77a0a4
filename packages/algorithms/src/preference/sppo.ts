import { tf, type Tensor1D } from "@plumbline/runtime"
import type { PreferenceLoss } from "./preference-loss.ts"

export interface SppoOptions {
  /** 1/η of the paper: the chosen log-ratio is pulled to 1/(2β), the rejected one to −1/(2β). */
  readonly beta: number
}

/**
 * Self-play preference optimization with hard win probabilities: 1 for the chosen response, 0 for the rejected one.
 *
 *   L = (chosen − 1/(2β))² + (rejected + 1/(2β))²
 *
 * Deviation: the loss on given pairs only; the paper's self-play iterations make their pairs. With policy =
 * reference every pair costs 1/(2β²).
 *
 * @see Wu et al. 2024, eq. 4.7, https://arxiv.org/abs/2405.00675
 */
export const sppoHard = ({ beta }: SppoOptions): PreferenceLoss => ({
  name: "sppo-hard",
  options: { beta },
  beta,
  perPair: ({ chosen, rejected }) => {
    const target = 1 / (2 * beta)
    return tf.add(tf.square(tf.sub<Tensor1D>(chosen, target)), tf.square(tf.add<Tensor1D>(rejected, target)))
  }
})
