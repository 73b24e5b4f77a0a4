import { collate } from "@plumbline/data"
import type { CausalLM } from "@plumbline/models"
import { tf, type Tensor, type Tensor1D } from "@plumbline/runtime"
import type { RolloutBatch } from "../policy-gradient/rollout-batch.ts"
import { policyGradientObjective, type PolicyGradientLoss } from "../policy-gradient/policy-gradient-objective.ts"
import { tokenMean } from "../policy-gradient/aggregation.ts"
import { clip } from "../policy-gradient/surrogates/clip.ts"
import { row } from "./small-models.ts"

/** Log-probs of the reference tables' tokens: three of one response, two of another. */
export const tableLogProbs = [-1, -0.5, -2, -0.7, -1.2]
export const tableOld = [-1.2, -0.5, -1.5, -0.6, -1]
export const tableReference = [-1.1, -0.6, -1.8, -0.9, -1]

const PROMPT = 1

/** A batch of responses of these lengths, with numbers by token. */
export const batchOf = (
  lengths: ReadonlyArray<number>,
  numbers: {
    readonly advantages: ReadonlyArray<number>
    readonly old?: ReadonlyArray<number> | undefined
    readonly sampling?: ReadonlyArray<number> | undefined
    readonly reference?: ReadonlyArray<number> | undefined
    readonly klCoefficient?: number
  }
): RolloutBatch => {
  const floats = (values: ReadonlyArray<number> | undefined) => values && Float32Array.from(values)
  return {
    rows: collate(
      lengths.map((length) =>
        row(
          Array.from({ length: length + PROMPT }, () => 1),
          PROMPT
        )
      ),
      { layout: "packed", padId: 0 }
    ),
    numbers: Int32Array.from(lengths, (_, i) => i),
    tokens: lengths.reduce((sum, length) => sum + length + PROMPT, 0),
    origins: lengths.map((_, i) => `row ${i}`),
    advantages: Float32Array.from(numbers.advantages),
    oldLogProbs: floats(numbers.old),
    samplingLogProbs: floats(numbers.sampling),
    referenceLogProbs: floats(numbers.reference),
    klCoefficient: numbers.klCoefficient ?? 0
  }
}

/** The batch of the reference tables: A = 1 for the first response, −1 for the second. */
export const tableBatch = (klCoefficient = 0): RolloutBatch =>
  batchOf([3, 2], { advantages: [1, 1, 1, -1, -1], old: tableOld, reference: tableReference, klCoefficient })

/** A policy that answers with these log-probs, whatever it is asked. */
const answering = (logProbs: Tensor1D): CausalLM =>
  ({
    tokenLogProbs: () => ({ logProbs, entropy: tf.zerosLike(logProbs), correct: tf.zerosLike(logProbs) })
  }) as unknown as CausalLM

/** Plain clipping at 0.2, over tokens, with nothing else. */
export const plainLoss: PolicyGradientLoss = {
  surrogate: clip({ low: 0.2, high: 0.2 }),
  aggregation: tokenMean(),
  entropyCoefficient: 0,
  temperature: 1
}

const lossAt = (loss: PolicyGradientLoss, batch: RolloutBatch, logProbs: Tensor): Tensor => {
  const objective = policyGradientObjective({ ...plainLoss, ...loss })
  const { terms } = objective.loss({ policy: answering(logProbs as Tensor1D) }, batch)
  const counts = objective.counts(batch)
  return tf.addN(terms.map(({ unit, values, weight = 1 }) => tf.mul(tf.sum(values), weight / counts[unit]!)))
}

/** Loss of a batch and its gradient by token log-prob, on the tape and by central differences. */
export const lossAndGradients = (
  loss: Partial<PolicyGradientLoss>,
  batch: RolloutBatch = tableBatch(),
  logProbs: ReadonlyArray<number> = tableLogProbs
) => {
  const whole = { ...plainLoss, ...loss }
  const valueAt = (at: ReadonlyArray<number>) =>
    tf.tidy(() => lossAt(whole, batch, tf.tensor1d([...at])).dataSync()[0]!)
  const step = 1e-3
  const moved = (i: number, by: number) => logProbs.map((value, j) => (i === j ? value + by : value))
  return {
    value: valueAt(logProbs),
    gradient: tf.tidy(() => [
      ...tf
        .grad((at: Tensor) => lossAt(whole, batch, at))(tf.tensor1d([...logProbs]))
        .dataSync()
    ]),
    differences: logProbs.map((_, i) => (valueAt(moved(i, step)) - valueAt(moved(i, -step))) / (2 * step))
  }
}
