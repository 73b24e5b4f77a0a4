import { spreadByRow, sumByRow } from "@plumbline/numerics"
import { tf, type Tensor, type Tensor1D } from "@plumbline/runtime"

/** What a surrogate sees of the M counted tokens of R responses. */
export interface SurrogateTokens {
  /** [M] float32, nats: log π of the policy that learns; differentiable */
  readonly logProbs: Tensor1D
  /** [M] float32, nats: log π − log π_old; differentiable, within ±20 */
  readonly logRatios: Tensor1D
  /** [M] float32, constant */
  readonly advantages: Tensor1D
  /** [M] row of each token, host data; rows without tokens do not occur */
  readonly rows: Int32Array
  readonly rowCount: number
}

export interface TokenLosses {
  /** [M] float32; its gradient is the surrogate's */
  readonly losses: Tensor1D
  /** [M] float32, 1 where a bound took the gradient of a token that was to become rarer */
  readonly clippedLow: Tensor1D
  /** [M] float32, 1 where a bound took, or limited, that of a token that was to become likelier */
  readonly clippedHigh: Tensor1D
}

/**
 * What the policy minimises for given advantages: a value, made by a constructor with its options. On the first update
 * after a rollout all ratios are 1, where every surrogate has the policy gradient −A·∇log π, at its own scale.
 */
export interface Surrogate {
  readonly name: string
  /** Plain data, recorded with the run. */
  readonly options: unknown
  readonly perToken: (tokens: SurrogateTokens) => TokenLosses
}

type Rows = Pick<SurrogateTokens, "rows" | "rowCount">

/** [M] at every token the mean of its row. */
export const rowMeans = (values: Tensor1D, { rowCount, rows }: Rows): Tensor1D => {
  const sums = sumByRow(values, rows, rowCount)
  const lengths = new Float32Array(rowCount)
  for (const row of rows) lengths[row]! += 1
  return spreadByRow(tf.div(sums, tf.tensor1d(lengths.map((length) => Math.max(1, length)))), rows)
}

/** [M] at every token the sum of its row. */
export const rowSums = (values: Tensor1D, { rowCount, rows }: Rows): Tensor1D =>
  spreadByRow(sumByRow(values, rows, rowCount), rows)

/** [M] float32, 1 where both hold. */
export const both = (a: Tensor, b: Tensor): Tensor1D => tf.cast(tf.logicalAnd(a, b), "float32") as Tensor1D

/** No bound took anything. */
export const unclipped = (like: Tensor1D): Pick<TokenLosses, "clippedLow" | "clippedHigh"> => ({
  clippedLow: tf.zerosLike(like),
  clippedHigh: tf.zerosLike(like)
})
