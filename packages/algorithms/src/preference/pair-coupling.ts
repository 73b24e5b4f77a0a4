import type { CausalLM } from "@plumbline/models"
import { tf, type Tensor, type Tensor1D } from "@plumbline/runtime"
import type { Coupling } from "@plumbline/training"
import type { PairBatch } from "./pair-batch.ts"
import { type PairConstants, pairConstants, pairLogProbs, responseLogProbs } from "./pair-log-probs.ts"
import type { PreferenceLoss } from "./preference-loss.ts"

/** [P] float32 each, of the pairs of one micro-batch. */
interface MeasuredPairs extends PairConstants {
  readonly policyChosen: Float32Array
  readonly policyRejected: Float32Array
}

/** The loss over the global batch near the measured log-probs, as far as one micro-batch's pairs reach: [P] each. */
export interface LinearLoss {
  readonly values: Float32Array
  readonly atChosen: Float32Array
  readonly atRejected: Float32Array
  readonly slopeChosen: Float32Array
  readonly slopeRejected: Float32Array
}

type Models = { readonly policy: CausalLM }

/**
 * Coupling of pairs by a loss that compares them with one another. The loss is computed once on the log-probs of the
 * whole global batch; each micro-batch then takes the tangent at its own pairs, which has the same value and gradient.
 */
export const pairCoupling = ({ perPair }: PreferenceLoss): Coupling<Models, PairBatch, MeasuredPairs, LinearLoss> => ({
  measure: ({ policy }, batch) => {
    const logProbs = responseLogProbs(policy, batch)
    const [policyChosen, policyRejected] = [logProbs.subarray(0, batch.pairs), logProbs.subarray(batch.pairs)]
    return { ...pairConstants(batch), policyChosen, policyRejected }
  },
  share: (parts) => {
    const all = joined(parts)
    const whole = tf.tidy(() => tangent(perPair, all))
    let start = 0
    return parts.map(({ policyChosen: { length } }) => {
      const own = (values: Float32Array) => values.subarray(start, start + length)
      const linear: LinearLoss = {
        values: own(whole.values),
        atChosen: own(all.policyChosen),
        atRejected: own(all.policyRejected),
        slopeChosen: own(whole.slopeChosen),
        slopeRejected: own(whole.slopeRejected)
      }
      start += length
      return linear
    })
  }
})

/** [P] the tangent at the policy's log-probs, whose value there is the loss itself. */
export const linearLoss = (linear: LinearLoss, policyChosen: Tensor1D, policyRejected: Tensor1D): Tensor1D => {
  const rise = (at: Float32Array, slope: Float32Array, now: Tensor1D) =>
    tf.mul(tf.tensor1d(slope), tf.sub(now, tf.tensor1d(at)))
  const risen = tf.add(
    rise(linear.atChosen, linear.slopeChosen, policyChosen),
    rise(linear.atRejected, linear.slopeRejected, policyRejected)
  )
  return tf.add<Tensor1D>(tf.tensor1d(linear.values), risen)
}

const tangent = (perPair: PreferenceLoss["perPair"], all: MeasuredPairs) => {
  const policy = [tf.tensor1d(all.policyChosen), tf.tensor1d(all.policyRejected)]
  let values = new Float32Array(0)
  const [slopeChosen, slopeRejected] = tf.grads((chosen: Tensor, rejected: Tensor) => {
    const losses = perPair(pairLogProbs(chosen as Tensor1D, rejected as Tensor1D, all))
    values = losses.dataSync() as Float32Array<ArrayBuffer>
    // a side that the loss does not read has the slope 0, not none
    return tf.add(tf.sum(losses), tf.mul(0, tf.add(tf.sum(chosen), tf.sum(rejected))))
  })(policy)
  const host = (tensor: Tensor) => tensor.dataSync() as Float32Array
  return { values: values as Float32Array, slopeChosen: host(slopeChosen!), slopeRejected: host(slopeRejected!) }
}

const joined = (parts: ReadonlyArray<MeasuredPairs>): MeasuredPairs => {
  const all = (field: keyof MeasuredPairs) => Float32Array.from(parts.flatMap((part) => [...part[field]]))
  return {
    policyChosen: all("policyChosen"),
    policyRejected: all("policyRejected"),
    referenceChosen: all("referenceChosen"),
    referenceRejected: all("referenceRejected"),
    chosenLengths: all("chosenLengths"),
    rejectedLengths: all("rejectedLengths"),
    rewardGaps: all("rewardGaps")
  }
}
