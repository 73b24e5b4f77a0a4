import { logSigmoid } from "@plumbline/numerics"
import { tf, type Tensor1D } from "@plumbline/runtime"
import { signs } from "./class-weights.ts"
import type { Baseline, UnpairedLoss } from "./unpaired-loss.ts"

export interface BcoOptions {
  /** Scale of the implicit rewards. */
  readonly beta: number
}

/**
 * Binary classifier optimization: the implicit reward, less its running mean δ, as the logit of "this response is good".
 *
 *   L = −log σ(β·r − δ)  desirable,   −log σ(−(β·r − δ))  undesirable
 *   δ = mean of β·r over all responses trained on so far, those of this step included
 *
 * r is the log-ratio. δ carries no gradient and is kept in checkpoints; held-out data do not move it. Deviation: no density-ratio
 * weights for prompts of differing origin (the paper's underlying distribution matching). With policy = reference every
 * response costs ln 2.
 *
 * @see Jung et al. 2024, eq. 8, https://arxiv.org/abs/2404.04656
 */
export const bco = ({ beta }: BcoOptions): UnpairedLoss => ({
  name: "bco",
  options: { beta },
  beta,
  baseline: runningMean(beta),
  perResponse: ({ baseline, desirable, logRatios }) =>
    tf.neg(logSigmoid(tf.mul<Tensor1D>(signs(desirable), tf.sub(tf.mul(beta, logRatios), baseline))))
})

const runningMean = (beta: number): Baseline => ({
  metric: "delta",
  over: "responses",
  of: (_, { delta = 0 }) => delta,
  remember: (logRatios, { delta = 0, responses = 0 }) => {
    const seen = responses + logRatios.length
    const here = logRatios.reduce((sum, ratio) => sum + beta * ratio, 0)
    return { delta: delta + (here - logRatios.length * delta) / seen, responses: seen }
  }
})
