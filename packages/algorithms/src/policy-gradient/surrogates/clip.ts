import { constant } from "@plumbline/numerics"
import { tf, type Tensor1D } from "@plumbline/runtime"
import { LossInvalid } from "../../loss-invalid.ts"
import { both, rowMeans, rowSums, type Surrogate, type SurrogateTokens, type TokenLosses } from "./surrogate.ts"

export interface ClipOptions {
  /** ε below 1: ratios under 1 − ε gain nothing more; 0.2 is usual. */
  readonly low: number
  /** ε above 1; larger than `low` is clip-higher (DAPO). */
  readonly high: number
  /** c > 1: a token with a negative advantage costs at most −c·A (dual clip); no bound when absent. */
  readonly dual?: number | undefined
}

/**
 * The clipped surrogate of PPO, one ratio a token:
 *
 *   L = −min(ρ·A, clip(ρ, 1 − ε_low, 1 + ε_high)·A),   and L ≤ −c·A where A < 0
 *
 * @see Schulman et al. 2017, eq. 7, https://arxiv.org/abs/1707.06347
 * @see Yu et al. 2025 (DAPO, clip-higher), eq. 8, https://arxiv.org/abs/2503.14476
 * @see Ye et al. 2019 (dual clip), eq. 5, https://arxiv.org/abs/1912.09729
 */
export const clip = (options: ClipOptions): Surrogate => ({
  name: "clip",
  options: checked(options),
  perToken: (tokens) => clipped(tf.exp(tokens.logRatios), tokens, options)
})

/**
 * GSPO: the same with one ratio a response, the geometric mean of its tokens' ratios. Meant for a mean over responses:
 * over tokens each response would weigh its length.
 *
 * @see Zheng et al. 2025, eq. 5–7, https://arxiv.org/abs/2507.18071
 */
export const geometricClip = (options: ClipOptions): Surrogate => ({
  name: "geometric-clip",
  options: checked(options),
  perToken: (tokens) => clipped(tf.exp(rowMeans(tokens.logRatios, tokens)), tokens, options)
})

/**
 * GSPO-token: the same value, of which each token has the gradient of its own log-prob. It differs from GSPO where tokens of
 * a response have different advantages:
 *
 *   s_t = sg(s)·π_t / sg(π_t),   s the geometric mean of the response's ratios
 *
 * @see Zheng et al. 2025, eq. 13–15, https://arxiv.org/abs/2507.18071
 */
export const geometricTokenClip = (options: ClipOptions): Surrogate => ({
  name: "geometric-token-clip",
  options: checked(options),
  perToken: (tokens) => {
    const { logProbs, logRatios } = tokens
    const own = tf.sub(logProbs, constant(logProbs))
    return clipped(tf.exp(tf.add<Tensor1D>(own, constant(rowMeans(logRatios, tokens)))), tokens, options)
  }
})

/** The same with the ratio of the whole response, the product of its tokens' ratios, as TRL's RLOO has it. */
export const sequenceClip = (options: ClipOptions): Surrogate => ({
  name: "sequence-clip",
  options: checked(options),
  perToken: (tokens) => clipped(tf.exp(bounded(rowSums(tokens.logRatios, tokens))), tokens, options)
})

const checked = (options: ClipOptions): ClipOptions => {
  const { dual, high, low } = options
  const reason =
    (!(low >= 0 && low < 1) && `ratios cannot be held above 1 − ${low}`) ||
    (!(high > 0) && `ratios cannot be held below 1 + ${high}`) ||
    (dual !== undefined && !(dual > 1) && `a dual bound of ${dual} would bound tokens that did not move; it is above 1`)
  if (reason !== false) throw new LossInvalid({ loss: "clip", reason })
  return options
}

const clipped = (ratios: Tensor1D, { advantages }: SurrogateTokens, { dual, high, low }: ClipOptions): TokenLosses => {
  const within = tf.clipByValue(ratios, 1 - low, 1 + high)
  const losses = tf.neg(tf.minimum<Tensor1D>(tf.mul(ratios, advantages), tf.mul(within, advantages)))
  const rarer = tf.less(advantages, 0)
  const capped = dual === undefined ? losses : tf.minimum<Tensor1D>(losses, tf.mul(-dual, advantages))
  return {
    losses: dual === undefined ? losses : tf.where(rarer, capped, losses),
    clippedLow: both(rarer, tf.logicalOr(tf.less(ratios, 1 - low), tf.greater(ratios, dual ?? Infinity))),
    clippedHigh: both(tf.greater(advantages, 0), tf.greater(ratios, 1 + high))
  }
}

/** Beyond e^±20 no ratio is told from another. */
const bounded = (logRatios: Tensor1D): Tensor1D => tf.clipByValue(logRatios, -20, 20)
