import { tf, type Tensor1D } from "@plumbline/runtime"
import { rowMeans, rowSums, type SurrogateTokens } from "./surrogates/surrogate.ts"

/**
 * Weights of tokens that were drawn from another distribution than the one that learns: an engine of other precision, or
 * older weights. A value; none of it carries a gradient.
 *
 * Over a response of N tokens whose log-ratios spread by s each, the product of ratios keeps a share e^(−N·s²) of the
 * samples' worth, so forms over the product do not suit long responses.
 */
export interface SamplerCorrection {
  readonly name: string
  /** Plain data, recorded with the run. */
  readonly options: unknown
  /** [M] float32 ≥ 0. @param gaps [M] nats: log π_old − log π_sampler, constant */
  readonly weights: (gaps: Tensor1D, rows: Pick<SurrogateTokens, "rows" | "rowCount">) => Tensor1D
}

/**
 * Truncated importance sampling by token: min(w, cap). The default.
 *
 * @see Yao et al. 2025, https://fengyao.notion.site/off-policy-rl
 */
export const truncateTokens = ({ cap }: { readonly cap: number }): SamplerCorrection => ({
  name: "truncate-tokens",
  options: { cap },
  weights: (gaps) => tf.minimum(tf.exp(bounded(gaps)), cap)
})

/** IcePop: a token whose weight is outside the bounds learns nothing, the others have their weight. */
export const maskTokens = ({ high, low }: { readonly low: number; readonly high: number }): SamplerCorrection => ({
  name: "mask-tokens",
  options: { low, high },
  weights: (gaps) => within(tf.exp(bounded(gaps)), low, high, tf.exp(bounded(gaps)))
})

/** Every token of a response has the product of its weights, at most the cap. */
export const truncateSequences = ({ cap }: { readonly cap: number }): SamplerCorrection => ({
  name: "truncate-sequences",
  options: { cap },
  weights: (gaps, rows) => tf.minimum(tf.exp(bounded(rowSums(gaps, rows))), cap)
})

/** The same, but responses above the cap learn nothing: TRL's default, with a cap of 3. */
export const maskSequences = ({ cap }: { readonly cap: number }): SamplerCorrection => ({
  name: "mask-sequences",
  options: { cap },
  weights: (gaps, rows) => {
    const products = tf.exp(bounded(rowSums(gaps, rows)))
    return within(products, 0, cap, products)
  }
})

/** Every token of a response has the geometric mean of its tokens' weights, at most the cap. */
export const truncateByGeometricMean = ({ cap }: { readonly cap: number }): SamplerCorrection => ({
  name: "truncate-by-geometric-mean",
  options: { cap },
  weights: (gaps, rows) => tf.minimum(tf.exp(bounded(rowMeans(gaps, rows))), cap)
})

export interface GeometricMaskOptions {
  /** Bounds of the geometric mean of a response's weights; outside it learns nothing. */
  readonly low: number
  readonly high: number
  /** Most that a token of the others weighs. */
  readonly cap: number
}

/** Responses are kept by the geometric mean of their tokens' weights, which does not grow with their length. */
export const maskByGeometricMean = ({ cap, high, low }: GeometricMaskOptions): SamplerCorrection => ({
  name: "mask-by-geometric-mean",
  options: { low, high, cap },
  weights: (gaps, rows) =>
    within(tf.exp(bounded(rowMeans(gaps, rows))), low, high, tf.minimum(tf.exp(bounded(gaps)), cap))
})

/** Beyond e^±20 no weight is told from another. */
const bounded = (gaps: Tensor1D): Tensor1D => tf.clipByValue(gaps, -20, 20)

const within = (values: Tensor1D, low: number, high: number, kept: Tensor1D): Tensor1D =>
  tf.mul(tf.cast(tf.logicalAnd(tf.greaterEqual(values, low), tf.lessEqual(values, high)), "float32"), kept)
