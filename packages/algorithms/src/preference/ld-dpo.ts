import { LossInvalid } from "../loss-invalid.ts"
import type { PreferenceLoss } from "./preference-loss.ts"

export interface LengthDesensitizedOptions {
  /** α in [0, 1]: weight of the tokens beyond the shorter response's length; 1 changes nothing. */
  readonly alpha: number
}

/**
 * LD-DPO: any preference loss on log-probs in which the longer response counts less where it goes on alone.
 *
 *   log π(y) := Σ_{t ≤ l} log π(y_t) + α·Σ_{t > l} log π(y_t),   l = min(|chosen|, |rejected|)
 *
 * for the policy and the reference alike. Lengths that a loss divides by stay whole.
 *
 * @throws LossInvalid where α is outside [0, 1]
 * @see Liu et al. 2024, https://arxiv.org/abs/2409.06411
 */
export const lengthDesensitized = (loss: PreferenceLoss, { alpha }: LengthDesensitizedOptions): PreferenceLoss => {
  if (!(alpha >= 0 && alpha <= 1)) {
    throw new LossInvalid({
      loss: "ld-dpo",
      reason: `α weighs tokens between 0 (not at all) and 1 (fully), not ${alpha}`
    })
  }
  return {
    ...loss,
    name: `ld-${loss.name}`,
    options: { loss: loss.options, alpha },
    tailWeight: alpha
  }
}
