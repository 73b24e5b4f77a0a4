import { tf, type Tensor1D } from "@plumbline/runtime"
import { MAX_EXPONENT } from "../preference/divergence.ts"
import { LossInvalid } from "../loss-invalid.ts"
import type { ReferenceFreeLoss } from "./reference-free-loss.ts"
import { simpo, type SimpoOptions } from "./simpo.ts"

export interface AlphaPoOptions extends SimpoOptions {
  /** α, the bend of the reward; towards 0 it is SimPO's. */
  readonly alpha: number
}

/**
 * AlphaPO: SimPO with a bent reward of the response's mean probability p = π^(1/|y|).
 *
 *   L = −log σ(r(chosen) − r(rejected) − γ),   r = β·(1 − p^(−α))/α
 *
 * Exponents are capped at 80, where float32 would overflow.
 *
 * @throws LossInvalid where α is 0 (that is `simpo`) or no number
 * @see Gupta et al. 2025, https://arxiv.org/abs/2501.03884
 */
export const alphaPo = ({ alpha, ...options }: AlphaPoOptions): ReferenceFreeLoss => {
  if (!Number.isFinite(alpha) || alpha === 0) {
    throw new LossInvalid({ loss: "alphapo", reason: `α is a number other than 0, not ${alpha}; at 0 it is simpo` })
  }
  const bent = (logProbs: Tensor1D): Tensor1D => {
    const power = tf.exp(tf.minimum(tf.mul<Tensor1D>(-alpha, logProbs), MAX_EXPONENT))
    return tf.div<Tensor1D>(tf.sub(1, power), alpha)
  }
  const straight = simpo(options)
  return {
    ...straight,
    name: "alphapo",
    options: { alpha, simpo: straight.options },
    reward: (logProbs) => straight.reward(bent(logProbs)),
    perPair: ({ chosen, rejected }) => straight.perPair({ chosen: bent(chosen), rejected: bent(rejected) })
  }
}
