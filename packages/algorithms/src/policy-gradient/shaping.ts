/** Changes the reward of a response by its length. A value. */
export interface LengthShaping {
  readonly name: string
  /** Plain data, recorded with the run. */
  readonly options: unknown
  /** @param length counted tokens; @returns the reward that goes on */
  readonly shape: (reward: number, length: number) => number
}

export interface OverlongOptions {
  /** L: most tokens of a response. */
  readonly maxLength: number
  /** c: tokens before L over which the penalty grows from 0. */
  readonly margin: number
  /** Penalty at L and beyond; 1 is DAPO's. */
  readonly penalty: number
}

/**
 * Soft overlong punishment: 0 up to L − c, then down by (n − (L − c)) / c of the penalty, all of it from L on.
 *
 * @see Yu et al. 2025 (DAPO), eq. 13, https://arxiv.org/abs/2503.14476
 */
export const overlong = ({ margin, maxLength, penalty }: OverlongOptions): LengthShaping => ({
  name: "overlong",
  options: { maxLength, margin, penalty },
  shape: (reward, length) => reward - penalty * Math.max(0, Math.min(1, (length - (maxLength - margin)) / margin))
})

/** Right answers are worth less the longer they are: R·(1 − length/maxLength), as in NeMo-Aligner. */
export const linearLength = ({ maxLength }: { readonly maxLength: number }): LengthShaping => ({
  name: "linear-length",
  options: { maxLength },
  shape: (reward, length) => reward - (reward * length) / maxLength
})
