import { tf, type Tensor1D } from "@plumbline/runtime"
import { LossInvalid } from "../loss-invalid.ts"
import type { PreferenceLoss } from "./preference-loss.ts"

export interface WeightedLoss {
  readonly loss: PreferenceLoss
  readonly weight: number
}

/** Cross-entropy of the chosen responses, a mean over their tokens: the part of a mix that keeps them likely. */
export const chosenCrossEntropy: PreferenceLoss = {
  name: "sft",
  options: {},
  beta: 1,
  perPair: ({ chosen }) => tf.zerosLike(chosen),
  crossEntropyWeight: 1
}

/**
 * Weighted sum of losses; each keeps its own mean (over pairs, or over chosen tokens).
 *
 * `mix([{ loss: dpo({ beta }), weight: 1 }, { loss: chosenCrossEntropy, weight: α }])` is the DPO + NLL loss.
 * Implicit rewards in the metrics use the first loss's β.
 *
 * @throws LossInvalid where a part weighs tokens or pairs (LD-DPO, WPO), which is for the whole mix, or all weights are 0
 * @see Pang et al. 2024 (iterative reasoning preference optimization), eq. 1, https://arxiv.org/abs/2404.19733
 */
export const mix = (parts: readonly [WeightedLoss, ...ReadonlyArray<WeightedLoss>]): PreferenceLoss => {
  const weighing = parts.find(({ loss }) => loss.tailWeight !== undefined || loss.onPolicyWeights === true)
  if (weighing !== undefined) {
    const reason = "weighs tokens or pairs, which a mix does as a whole: apply it to the mix"
    throw new LossInvalid({ loss: weighing.loss.name, reason })
  }
  const name = parts.map(({ loss }) => loss.name).join("+")
  if (parts.every(({ weight }) => weight === 0)) {
    throw new LossInvalid({ loss: name, reason: "weighs nothing more than 0, so nothing would be learnt" })
  }
  return {
    name,
    options: parts.map(({ loss, weight }) => ({ loss: loss.name, weight, options: loss.options })),
    beta: parts[0].loss.beta,
    perPair: (pairs) =>
      parts
        .map(({ loss, weight }) => tf.mul<Tensor1D>(loss.perPair(pairs), weight))
        .reduce((total, part) => tf.add(total, part)),
    crossEntropyWeight: parts.reduce((total, { loss, weight }) => total + weight * (loss.crossEntropyWeight ?? 0), 0),
    coupled: parts.some(({ loss }) => loss.coupled === true),
    needsRewards: parts.some(({ loss }) => loss.needsRewards === true)
  }
}
