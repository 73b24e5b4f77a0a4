import { logSigmoid } from "@plumbline/numerics"
import { tf, type Tensor1D } from "@plumbline/runtime"
import type { PreferenceLoss } from "./preference-loss.ts"

export interface BcoPairOptions {
  /** Scale of the implicit rewards. */
  readonly beta: number
}

/**
 * Binary classifier optimization on pairs: the implicit reward as the logit of "this response is good".
 *
 *   L = −log σ(β·chosen) − log σ(−β·rejected)
 *
 * Deviation from the paper: no reward shift δ, as in TRL; the unpaired `bco` has it. With policy = reference every
 * pair costs 2·ln 2.
 *
 * @see Jung et al. 2024, https://arxiv.org/abs/2404.04656
 */
export const bcoPair = ({ beta }: BcoPairOptions): PreferenceLoss => ({
  name: "bco-pair",
  options: { beta },
  beta,
  perPair: ({ chosen, rejected }) =>
    tf.neg(tf.add(logSigmoid(tf.mul<Tensor1D>(beta, chosen)), logSigmoid(tf.mul<Tensor1D>(-beta, rejected))))
})
