import { tf, type Tensor1D } from "@plumbline/runtime"
import { type Divergence, reverseKl } from "./divergence.ts"
import type { PreferenceLoss } from "./preference-loss.ts"

export interface IpoOptions {
  /** β (the paper's τ): the gap is pulled to 1/(2β). */
  readonly beta: number
  /** Divergence whose score replaces the log-ratio. */
  readonly divergence?: Divergence
}

/**
 * Identity Preference Optimization.
 *
 *   L = (s(chosen)/|chosen| − s(rejected)/|rejected| − 1/(2β))²
 *
 * Deviation from the paper: scores are divided by the tokens of their response, as its authors advise for
 * language models and TRL does. With policy = reference every pair costs 1/(4β²).
 *
 * @see Azar et al. 2023, eq. 17, https://arxiv.org/abs/2310.12036
 */
export const ipo = ({ beta, divergence = reverseKl }: IpoOptions): PreferenceLoss => ({
  name: "ipo",
  options: { beta, divergence: divergence.name },
  beta,
  perPair: ({ chosen, chosenLengths, rejected, rejectedLengths }) =>
    fromTarget(
      tf.div(divergence.score(chosen), chosenLengths),
      tf.div(divergence.score(rejected), rejectedLengths),
      beta
    )
})

/**
 * The same on scores of whole responses, as the paper's equation, TRL's online DPO and NeMo-Aligner have it.
 *
 *   L = (s(chosen) − s(rejected) − 1/(2β))²
 *
 * @see Azar et al. 2023, eq. 17, https://arxiv.org/abs/2310.12036
 */
export const ipoSum = ({ beta, divergence = reverseKl }: IpoOptions): PreferenceLoss => ({
  name: "ipo-sum",
  options: { beta, divergence: divergence.name },
  beta,
  perPair: ({ chosen, rejected }) => fromTarget(divergence.score(chosen), divergence.score(rejected), beta)
})

const fromTarget = (better: Tensor1D, worse: Tensor1D, beta: number): Tensor1D =>
  tf.square(tf.sub<Tensor1D>(tf.sub(better, worse), 1 / (2 * beta)))
