/** Added to the variance. */
const EPSILON = 1e-8

export interface WhitenOptions {
  /** Whether the variance divides by n (PPO in NeMo-Aligner) or by n − 1 (REINFORCE++ in OpenRLHF). */
  readonly variance: "population" | "sample"
  /** false keeps the mean. */
  readonly center: boolean
}

/**
 * Numbers of a whole rollout with mean 0 and variance 1 over the tokens that count: (x − μ) / sqrt(σ² + 10⁻⁸).
 * Tokens that do not count become 0, whatever they held. A single token keeps variance 0.
 */
export const whiten = (
  numbers: ReadonlyArray<Float64Array>,
  masks: ReadonlyArray<Uint8Array>,
  { center, variance }: WhitenOptions
): ReadonlyArray<Float64Array> => {
  const counted = numbers.flatMap((row, r) => Array.from(row).filter((_, t) => masks[r]![t] === 1))
  if (counted.length === 0) return numbers.map((row) => row.map(() => 0))
  const middle = counted.reduce((sum, number) => sum + number, 0) / counted.length
  const squares = counted.reduce((sum, number) => sum + (number - middle) ** 2, 0)
  const divisor = variance === "population" ? counted.length : Math.max(1, counted.length - 1)
  const scale = 1 / Math.sqrt(squares / divisor + EPSILON)
  const shift = center ? 0 : middle
  return numbers.map((row, r) => row.map((number, t) => (masks[r]![t] === 1 ? (number - middle) * scale + shift : 0)))
}
