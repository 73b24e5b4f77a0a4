import { type CausalLM, Policy } from "@plumbline/models"
import { sumByRow } from "@plumbline/numerics"
import { tf, type Tensor1D } from "@plumbline/runtime"
import { type Algorithm, type Objective, splitUnits, unitBatches } from "@plumbline/training"
import { Effect, Stream } from "effect"
import { type PairBatch, pairRows, sideLengths } from "./pair-batch.ts"
import { type PairUnit, PreferenceData } from "./preference-data.ts"
import type { PreferenceLoss } from "./preference-loss.ts"
import { ReferenceLogProbs } from "./reference-log-probs.ts"

type Models = { readonly policy: CausalLM }

/**
 * Direct alignment on preference pairs: any `PreferenceLoss` on the log-ratios of policy and reference.
 *
 * With policy = reference both log-ratios are exactly 0.
 */
export const preference = (
  loss: PreferenceLoss
): Algorithm<Models, PairBatch, never, Policy | PreferenceData | ReferenceLogProbs> => ({
  name: loss.name,
  config: loss.options,
  trainable: Effect.map(Policy, (policy) => ({ policy })),
  stepsPerEpoch: Effect.map(PreferenceData, ({ sampler }) => sampler.stepsPerEpoch),
  experience: (position) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const data = yield* PreferenceData
        const batch = yield* batchMaker
        return unitBatches(data.units, data.sampler, data.split, position).pipe(
          Stream.map((microBatches) => microBatches.map(batch))
        )
      })
    ),
  heldOut: Effect.gen(function* () {
    const data = yield* PreferenceData
    return splitUnits(data.heldOut, data.split).map(yield* batchMaker)
  }),
  objective: preferenceObjective(loss)
})

const batchMaker = Effect.gen(function* () {
  const data = yield* PreferenceData
  const reference = yield* ReferenceLogProbs
  return (units: ReadonlyArray<PairUnit>): PairBatch => {
    const rows = pairRows(data, units)
    return { ...rows, referenceLogProbs: reference.of(rows) }
  }
})

/** The loss of pairs as an objective; log-probs of a response are sums over its scored tokens. */
export const preferenceObjective = (loss: PreferenceLoss): Objective<Models, PairBatch> => ({
  counts: ({ pairs, rows, units }) => ({
    pair: pairs,
    token: rows.scored.targets.length,
    "chosen token": sideLengths(units, "chosen").reduce((total, length) => total + length, 0)
  }),
  loss: ({ policy }, batch) => {
    const { pairs, rows, units } = batch
    const { correct, entropy, logProbs } = policy.tokenLogProbs(rows)
    const byResponse = (values: Tensor1D) => sumByRow(values, rows.scored.rows, 2 * pairs)
    const chosenOf = (values: Tensor1D) => tf.slice(values, 0, pairs)
    const rejectedOf = (values: Tensor1D) => tf.slice(values, pairs, pairs)
    const responses = byResponse(logProbs)
    const logRatios = tf.sub<Tensor1D>(responses, tf.tensor1d(batch.referenceLogProbs))
    const chosen = chosenOf(logRatios)
    const rejected = rejectedOf(logRatios)
    const perPair = loss.perPair({
      chosen,
      rejected,
      chosenLengths: tf.tensor1d(sideLengths(units, "chosen")),
      rejectedLengths: tf.tensor1d(sideLengths(units, "rejected"))
    })
    const pair = (values: Tensor1D) => ({ unit: "pair", values })
    const entropies = byResponse(entropy)
    return {
      terms: [pair(perPair), ...chosenNll(loss.crossEntropyWeight ?? 0, chosenOf(responses))],
      metrics: {
        "rewards/chosen": pair(tf.mul(loss.beta, chosen)),
        "rewards/rejected": pair(tf.mul(loss.beta, rejected)),
        "rewards/margins": pair(tf.mul(loss.beta, tf.sub(chosen, rejected))),
        "rewards/accuracies": pair(tf.cast(tf.greater(chosen, rejected), "float32")),
        "logps/chosen": pair(chosenOf(responses)),
        "logps/rejected": pair(rejectedOf(responses)),
        entropy: { unit: "token", values: tf.add(chosenOf(entropies), rejectedOf(entropies)) },
        mean_token_accuracy: { unit: "chosen token", values: chosenOf(byResponse(correct)) }
      }
    }
  }
})

const chosenNll = (weight: number, chosenLogProbs: Tensor1D) =>
  weight === 0 ? [] : [{ unit: "chosen token", values: tf.neg(chosenLogProbs), weight }]
