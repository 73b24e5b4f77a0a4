import { tf, type Tensor1D } from "@plumbline/runtime"
import { checkedWeights, classWeights, signs } from "./class-weights.ts"
import type { KtoOptions } from "./kto.ts"
import type { UnpairedLoss } from "./unpaired-loss.ts"

/**
 * Anchored preference optimization, zero, on responses judged one by one: KTO that compares with the reference itself, z = 0.
 *
 *   L = λ_D·(1 − σ(β·r))  desirable,   λ_U·σ(β·r)  undesirable
 *
 * With policy = reference every response costs half its class's weight.
 *
 * @throws LossInvalid where a weight is negative
 * @see D'Oosterlinck et al. 2024, eq. 7, https://arxiv.org/abs/2408.06266
 */
export const apoZeroUnpaired = ({ beta, ...weights }: KtoOptions): UnpairedLoss => {
  const checked = checkedWeights("apo-zero-unpaired", weights)
  return {
    name: "apo-zero-unpaired",
    options: { beta, ...checked },
    beta,
    baseline: { metric: "kl", over: "nothing", of: () => 0 },
    perResponse: ({ desirable, logRatios }) =>
      tf.mul(classWeights(desirable, checked), tf.sigmoid(tf.mul<Tensor1D>(-beta, tf.mul(signs(desirable), logRatios))))
  }
}
