import { constant } from "@plumbline/numerics"
import { tf, type Tensor1D } from "@plumbline/runtime"

/** What each scored token of a demonstration costs. */
export interface TokenLoss {
  readonly name: string
  /** @param logProbs [M] float32, nats, differentiable @returns [M] */
  readonly perToken: (logProbs: Tensor1D) => Tensor1D
}

/** −log π(y_t | y_<t): a uniform policy costs ln V. */
export const nll: TokenLoss = { name: "nll", perToken: tf.neg }

/**
 * Dynamic fine-tuning: −sg(π)·log π. The gradient of the likelihood is 1/π times that of the probability, which lets
 * unlikely tokens rule; the factor takes that off, and unlikely tokens teach little.
 *
 * @see Wu et al. 2025, https://arxiv.org/abs/2508.05629
 */
export const dft: TokenLoss = {
  name: "dft",
  perToken: (logProbs) => tf.neg(tf.mul<Tensor1D>(tf.exp(constant(logProbs)), logProbs))
}
