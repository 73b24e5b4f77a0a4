import type { CausalLM } from "@plumbline/models"
import { constant, sumByRow } from "@plumbline/numerics"
import { tf, type Tensor1D } from "@plumbline/runtime"
import type { LossSums, Objective, UnitSum } from "@plumbline/training"
import type { Aggregation } from "./aggregation.ts"
import type { NamedEstimator } from "./kl-penalty.ts"
import type { RolloutBatch } from "./rollout-batch.ts"
import type { SamplerCorrection } from "./sampler-correction.ts"
import type { Surrogate, SurrogateTokens, TokenLosses } from "./surrogates/surrogate.ts"

export interface PolicyGradientLoss {
  readonly surrogate: Surrogate
  readonly aggregation: Aggregation
  /** KL to the reference, added to each token's loss times the batch's coefficient. */
  readonly klInLoss?: { readonly estimator: NamedEstimator; readonly weighedByRatio: boolean } | undefined
  /** Weighs tokens by how likely the old policy was to write them, compared with the sampler. */
  readonly correction?: SamplerCorrection | undefined
  /** Taken from each token's loss times its entropy. */
  readonly entropyCoefficient: number
  /** That the responses were drawn at: log-probs are those of the distribution at it. */
  readonly temperature: number
}

type Models = { readonly policy: CausalLM }

/**
 * The one objective of the policy-gradient family:
 *
 *   L = Σ_t w_t·surrogate_t + β·KL_t − c·H_t, aggregated over tokens or responses
 *
 * Where the batch has no old log-probs the policy is still the old one, and every ratio is 1 exactly. Log-ratios are
 * held within ±20 nats.
 */
export const policyGradientObjective = (loss: PolicyGradientLoss): Objective<Models, RolloutBatch> => ({
  counts: ({ origins, rows }) => ({ token: rows.scored.targets.length, sequence: origins.length }),
  loss: ({ policy }, batch) => {
    const { entropyCoefficient, temperature } = loss
    const scored = policy.tokenLogProbs(batch.rows, { temperature, entropyGradient: entropyCoefficient !== 0 })
    const old = batch.oldLogProbs === undefined ? constant(scored.logProbs) : tf.tensor1d(batch.oldLogProbs)
    const tokens: SurrogateTokens = {
      logProbs: scored.logProbs,
      logRatios: tf.clipByValue(tf.sub(scored.logProbs, old), -20, 20),
      advantages: tf.tensor1d(batch.advantages),
      rows: batch.rows.scored.rows,
      rowCount: batch.origins.length
    }
    const surrogate = loss.surrogate.perToken(tokens)
    const gaps = samplerGaps(old, batch)
    const weights = gaps === undefined ? undefined : loss.correction?.weights(gaps, tokens)
    const kl = klOf(loss, tokens, batch)
    const losses = total(surrogate, weights, kl, { entropy: scored.entropy, loss, batch })
    return {
      terms: [aggregated(losses, loss.aggregation, tokens, batch)],
      metrics: {
        ...tokenMetrics(tokens, surrogate, scored.entropy),
        ...(kl === undefined ? {} : { kl: perToken(kl.estimate, tokens) }),
        ...samplerMetrics(gaps, weights, tokens)
      },
      observed: { logProbs: scored.logProbs, clipped: tf.maximum(surrogate.clippedLow, surrogate.clippedHigh) }
    }
  }
})

interface TokenKl {
  /** [M] nats, as it is measured */
  readonly estimate: Tensor1D
  /** [M] as it is added to the loss; nothing where the batch has none */
  readonly term: Tensor1D
}

const klOf = ({ klInLoss }: PolicyGradientLoss, tokens: SurrogateTokens, batch: RolloutBatch): TokenKl | undefined => {
  if (batch.referenceLogProbs === undefined || klInLoss === undefined) return undefined
  const { estimator, weighedByRatio } = klInLoss
  const estimate = estimator.estimate(tokens.logProbs, tf.tensor1d(batch.referenceLogProbs)) as Tensor1D
  return { estimate, term: weighedByRatio ? tf.mul(tf.exp(tokens.logRatios), estimate) : estimate }
}

const samplerGaps = (old: Tensor1D, { samplingLogProbs }: RolloutBatch): Tensor1D | undefined =>
  samplingLogProbs === undefined ? undefined : tf.sub(old, tf.tensor1d(samplingLogProbs))

interface Extras {
  readonly entropy: Tensor1D
  readonly loss: PolicyGradientLoss
  readonly batch: RolloutBatch
}

const total = (
  { losses }: TokenLosses,
  weights: Tensor1D | undefined,
  kl: TokenKl | undefined,
  { batch, entropy, loss }: Extras
): Tensor1D => {
  const weighed = weights === undefined ? losses : tf.mul<Tensor1D>(losses, weights)
  const near = kl === undefined ? weighed : tf.add<Tensor1D>(weighed, tf.mul(batch.klCoefficient, kl.term))
  return loss.entropyCoefficient === 0 ? near : tf.sub(near, tf.mul(loss.entropyCoefficient, entropy))
}

const perToken = (values: Tensor1D, { rowCount, rows }: SurrogateTokens): UnitSum => ({
  unit: "token",
  values: sumByRow(values, rows, rowCount)
})

const aggregated = (
  losses: Tensor1D,
  { rowWeights, unit }: Aggregation,
  { rowCount, rows }: SurrogateTokens,
  batch: RolloutBatch
): LossSums["terms"][number] => {
  const lengths = new Float32Array(rowCount)
  for (const row of batch.rows.scored.rows) lengths[row]! += 1
  return { unit, values: tf.mul(sumByRow(losses, rows, rowCount), tf.tensor1d(rowWeights(lengths))) }
}

const tokenMetrics = (tokens: SurrogateTokens, { clippedHigh, clippedLow }: TokenLosses, entropy: Tensor1D) => ({
  entropy: perToken(entropy, tokens),
  "ratio/mean": perToken(tf.exp(tokens.logRatios), tokens),
  "clip_ratio/low_mean": perToken(clippedLow, tokens),
  "clip_ratio/high_mean": perToken(clippedHigh, tokens),
  "clip_ratio/region_mean": perToken(tf.maximum(clippedLow, clippedHigh), tokens)
})

const samplerMetrics = (gaps: Tensor1D | undefined, weights: Tensor1D | undefined, tokens: SurrogateTokens) => ({
  ...(gaps === undefined ? {} : { "sampling/sampling_logp_difference/mean": perToken(tf.abs(gaps), tokens) }),
  ...(weights === undefined ? {} : { "sampling/importance_sampling_ratio/mean": perToken(weights, tokens) })
})
