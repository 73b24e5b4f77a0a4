/** How the losses of tokens become that of a step. A value; the division by the unit's count is the loop's. */
export interface Aggregation {
  readonly name: string
  /** Plain data, recorded with the run. */
  readonly options: unknown
  readonly unit: "token" | "sequence"
  /** [R] weight of the sum over a response's tokens. @param lengths [R] its counted tokens */
  readonly rowWeights: (lengths: Float32Array) => Float32Array
}

/**
 * Every token of the step weighs the same (DAPO; BNPO's too, whose mean over a micro-batch would depend on the split).
 *
 * @see Yu et al. 2025, eq. 12, https://arxiv.org/abs/2503.14476
 */
export const tokenMean = (): Aggregation => ({
  name: "token-mean",
  options: {},
  unit: "token",
  rowWeights: (lengths) => lengths.map(() => 1)
})

/**
 * Every response weighs the same, whatever its length (GRPO). Responses without counted tokens are counted as 0.
 *
 * @see Shao et al. 2024, eq. 3, https://arxiv.org/abs/2402.03300
 */
export const sequenceMean = (): Aggregation => ({
  name: "sequence-mean",
  options: {},
  unit: "sequence",
  rowWeights: (lengths) => lengths.map((length) => 1 / Math.max(1, length))
})

/** Mean over responses of sums over tokens (LUSPO): the gradient of the mean log-likelihood. */
export const sequenceSum = (): Aggregation => ({
  name: "sequence-sum",
  options: {},
  unit: "sequence",
  rowWeights: (lengths) => lengths.map(() => 1)
})

/**
 * Dr.GRPO: sums over tokens, divided by one constant length and the number of responses; long wrong answers are not
 * excused.
 *
 * @param length most tokens of a response
 * @see Liu et al. 2025, §3.1, https://arxiv.org/abs/2503.20783
 */
export const constantLength = (length: number): Aggregation => ({
  name: "constant-length",
  options: { length },
  unit: "sequence",
  rowWeights: (lengths) => lengths.map(() => 1 / length)
})
