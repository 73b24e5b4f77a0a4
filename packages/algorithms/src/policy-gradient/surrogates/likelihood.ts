import { constant } from "@plumbline/numerics"
import { tf, type Tensor1D } from "@plumbline/runtime"
import { LossInvalid } from "../../loss-invalid.ts"
import { both, rowSums, type Surrogate, unclipped } from "./surrogate.ts"

/**
 * REINFORCE: L = −A·log π, without a ratio. The gradient is that of the policy which learns, so it fits the first update
 * after a rollout only.
 *
 * @see Williams 1992, https://doi.org/10.1007/BF00992696
 */
export const logLikelihood = (): Surrogate => ({
  name: "log-likelihood",
  options: {},
  perToken: ({ advantages, logProbs }) => ({
    losses: tf.neg(tf.mul(advantages, logProbs)),
    ...unclipped(advantages)
  })
})

export interface CispoOptions {
  /** Least weight of a token; 0 is none. */
  readonly least: number
  /** The most a token weighs, itself and not its distance from 1: 5, say. It must be above 1. */
  readonly cap: number
}

/**
 * CISPO: the ratio, between bounds, weighs the policy gradient and is no part of it, so no token's gradient is lost:
 *
 *   L = −sg(clip(ρ, least, cap))·A·log π
 *
 * @see MiniMax 2025, eq. 4, https://arxiv.org/abs/2506.13585
 */
export const cispo = ({ cap, least }: CispoOptions): Surrogate => ({
  name: "cispo",
  options: cispoOptions({ least, cap }),
  perToken: ({ advantages, logProbs, logRatios }) => {
    const ratios = tf.exp(constant(logRatios))
    return {
      losses: tf.neg(tf.mul(tf.mul(tf.clipByValue(ratios, least, cap), advantages), logProbs)),
      clippedLow: both(tf.less(advantages, 0), tf.less(ratios, least)),
      clippedHigh: both(tf.greater(advantages, 0), tf.greater(ratios, cap))
    }
  }
})

const cispoOptions = (options: CispoOptions): CispoOptions => {
  const { cap, least } = options
  if (!(cap > 1)) {
    const reason = `the cap is the weight itself, not its distance from 1: ${cap} would hold every token there; 5 is usual`
    throw new LossInvalid({ loss: "cispo", reason })
  }
  if (!(least >= 0 && least <= 1)) throw new LossInvalid({ loss: "cispo", reason: `weights of at least ${least}` })
  return options
}

export interface VespoOptions {
  /** k and λ of responses with an advantage of at least 0. */
  readonly better: readonly [k: number, lambda: number]
  /** k and λ of the others. */
  readonly worse: readonly [k: number, lambda: number]
}

/**
 * VESPO: a response weighs φ(W) = e^λ·W^k·e^(−λW), W the product of its tokens' ratios: 1 at W = 1, 0 far from it.
 *
 *   L = −sg(φ(W))·A·log π
 *
 * @see Shen et al. 2026, https://arxiv.org/abs/2602.10693
 */
export const vespo = ({ better, worse }: VespoOptions): Surrogate => ({
  name: "vespo",
  options: { better, worse },
  perToken: (tokens) => {
    const { advantages, logProbs } = tokens
    const logWeights = tf.clipByValue(rowSums(constant(tokens.logRatios), tokens), -20, 20) as Tensor1D
    const pick = (which: 0 | 1) =>
      tf.where<Tensor1D>(
        tf.greaterEqual(advantages, 0),
        tf.fill(advantages.shape, better[which]) as Tensor1D,
        tf.fill(advantages.shape, worse[which]) as Tensor1D
      )
    const [k, lambda] = [pick(0), pick(1)]
    const weights = tf.exp(tf.add(tf.mul(k, logWeights), tf.mul(lambda, tf.sub(1, tf.exp(logWeights)))))
    return { losses: tf.neg(tf.mul(tf.mul(weights, advantages), logProbs)), ...unclipped(advantages) }
  }
})
