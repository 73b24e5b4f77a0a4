import { type CausalLM, Policy } from "@plumbline/models"
import { constant, countByRow, sumByRow } from "@plumbline/numerics"
import { tf, type Tensor1D, type Tensor2D } from "@plumbline/runtime"
import { type Algorithm, type Objective, splitUnits, unitBatches } from "@plumbline/training"
import { Effect, Stream } from "effect"
import { type WeightedBatch, weightedBatch, WeightedResponses } from "./weighted-responses.ts"

/**
 * SteerLM 2.0's loss on n responses y_i to a prompt x, sampled by Q′ for the attributes a:
 *
 *   L = Σ_i (w_i − b_i)·nll_i / L̄,   w = softmax_i(log P(a|x,y_i) + log P(y_i|x) − log Q′(y_i|a,x)),
 *                                     b = softmax_i(log Q(y_i|a,x) − log Q′(y_i|a,x)), without gradient
 *
 * a mean over prompts; L̄ is the mean length of the prompt's responses. b moves with the policy Q, and where it has reached w
 * the gradient is 0: then Q(y|a,x) is P(y|a,x) on these responses. The metric `distance` is KL(w‖b).
 */
export const steerLm2Objective: Objective<{ readonly policy: CausalLM }, WeightedBatch> = {
  counts: ({ origins }) => ({ prompt: origins.length }),
  loss: ({ policy }, { origins, responses: n, rows, samplingLogProbs, weights }) => {
    const prompts = origins.length
    const shape: [number, number] = [prompts, n]
    const scored = rows.scored.rows
    const logProbs = tf.reshape(sumByRow(policy.tokenLogProbs(rows).logProbs, scored, prompts * n), shape) as Tensor2D
    const logMoving = constant(
      tf.logSoftmax(tf.sub<Tensor2D>(logProbs, tf.tensor2d(samplingLogProbs, shape))) as Tensor2D
    )
    const wanted = tf.tensor2d(weights, shape)
    const lengths = tf.mean(tf.tensor2d(countByRow(scored, prompts * n), shape), 1)
    const pulled = tf.sum(tf.mul(tf.sub(tf.exp(logMoving), wanted), logProbs), 1)
    const perPrompt = (values: Tensor1D) => ({ unit: "prompt", values })
    return {
      terms: [perPrompt(tf.div<Tensor1D>(pulled, lengths))],
      metrics: { distance: perPrompt(distance(wanted, logMoving)) }
    }
  }
}

/** KL(w‖b) by row; a weight of 0 adds nothing. */
const distance = (wanted: Tensor2D, logMoving: Tensor2D): Tensor1D =>
  tf.sum(tf.mul(wanted, tf.sub(tf.log(tf.maximum(wanted, 1e-30)), logMoving)), 1)

/** SteerLM 2.0 on responses that were sampled beforehand: see `steerLm2Objective`. Resampling them with the new policy is another round. */
export const steerLm2 = (): Algorithm<
  { readonly policy: CausalLM },
  WeightedBatch,
  never,
  Policy | WeightedResponses
> => ({
  name: "steerlm2",
  config: {},
  trainable: Effect.map(Policy, (policy) => ({ policy })),
  stepsPerEpoch: Effect.map(WeightedResponses, ({ sampler }) => sampler.stepsPerEpoch),
  experience: (position) =>
    Stream.unwrap(
      Effect.map(WeightedResponses, (data) =>
        unitBatches(data.units, data.sampler, data.split, position).pipe(
          Stream.map((microBatches) => microBatches.map((units) => weightedBatch(data, units)))
        )
      )
    ),
  heldOut: Effect.map(WeightedResponses, (data) =>
    splitUnits(data.heldOut, data.split).map((units) => weightedBatch(data, units))
  ),
  objective: steerLm2Objective
})
