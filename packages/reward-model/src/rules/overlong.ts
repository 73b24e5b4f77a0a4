import type { RewardRule } from "./rule.ts"

export interface OverlongOptions {
  /** "overlong" when absent. */
  readonly name?: string
  readonly weight?: number
  /** L: a response above it gets −1, tokens. */
  readonly maxLength: number
  /** c: tokens before L over which the penalty rises. */
  readonly buffer: number
}

/**
 * Soft overlong punishment: for a response of n tokens
 *
 *   0 up to L − c;  (L − c − n)/c up to L;  −1 beyond
 *
 * @see Yu et al. 2025 (DAPO), eq. 13, https://arxiv.org/abs/2503.14476
 */
export const overlong = ({ buffer, maxLength, name = "overlong", weight = 1 }: OverlongOptions): RewardRule => {
  if (!(buffer > 0 && buffer <= maxLength)) throw new RangeError(`a buffer of ${buffer} is not in (0, ${maxLength}]`)
  return {
    name,
    weight,
    score: ({ ids }) => {
      if (ids.length > maxLength) return -1
      return Math.min(0, (maxLength - buffer - ids.length) / buffer)
    }
  }
}
