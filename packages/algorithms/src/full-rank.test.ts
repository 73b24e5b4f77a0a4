import { collate } from "@plumbline/data"
import { createScalarModel, freeze, llama, type Model, type ScalarModel } from "@plumbline/models"
import { type AdapterMethod, adaptNew, lora } from "@plumbline/peft"
import { bradleyTerry, pairwiseObjective } from "@plumbline/reward-model"
import { tf, type Variable } from "@plumbline/runtime"
import { accumulate, adamw, type MicroBatch, type Objective } from "@plumbline/training"
import { describe, expect } from "vitest"
import { distillationObjective } from "./distillation/distillation-objective.ts"
import { forwardDivergence } from "./distillation/divergence-loss.ts"
import { valueBatch, valueObjective } from "./policy-gradient/critic/value-objective.ts"
import { policyGradientObjective } from "./policy-gradient/policy-gradient-objective.ts"
import { dpo } from "./preference/dpo.ts"
import { preferenceObjective } from "./preference/preference-objective.ts"
import { scoredPairs } from "./reward-model/scored-pairs.ts"
import { negativeLogLikelihood } from "./supervised/negative-log-likelihood.ts"
import { taughtBatch } from "./testing/distillation-case.ts"
import { plainLoss } from "./testing/policy-gradient-case.ts"
import { pairBatch, unevenPairs } from "./testing/preference-batches.ts"
import { onWasm } from "./testing/preference-case.ts"
import { smallModel, unevenRows, VOCABULARY } from "./testing/small-models.ts"
import { kto } from "./unpaired/kto.ts"
import type { UnpairedUnit } from "./unpaired/unpaired-data.ts"
import { unpairedBatch, withMismatched } from "./unpaired/unpaired-batch.ts"
import { unpairedObjective } from "./unpaired/unpaired-objective.ts"

/**
 * LoRA of full rank with A = 1 frozen: B is then what W moves by, entry for entry, so AdamW takes the same steps on B as
 * on W itself. Whatever differs is a gradient that does not reach the adapter, or reaches it twice.
 */
const fullRank: AdapterMethod = {
  ...lora({ rank: 1 }),
  tensors: ({ inputs, outputs }) => [
    {
      suffix: "lora_A.weight",
      shape: [inputs, inputs],
      initial: () => Float32Array.from({ length: inputs * inputs }, (_, i) => (i % (inputs + 1) === 0 ? 1 : 0)),
      trained: false
    },
    { suffix: "lora_B.weight", shape: [outputs, inputs], initial: () => new Float32Array(outputs * inputs) }
  ]
}

/** The model of which the linear layers of its blocks alone are trained. */
const linearsOf = <M extends Model>(model: M): M => {
  const variables = [...model.parameters].flatMap(([name, tensor]) =>
    tensor.rank === 2 && name.startsWith("model.layers.") ? (tensor as Variable) : []
  )
  return model.rebuilt({ ...partsOf(model), variables }) as M
}

const partsOf = ({ dispose, name, parameters }: Model) => ({ dispose, name, parameters })

const STEPS = 5
const ADAMW = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 }

const losses = <R extends string, M extends Model, B extends MicroBatch>(
  objective: Objective<Readonly<Record<R, M>>, B>,
  role: R,
  model: M,
  batches: ReadonlyArray<B>
): ReadonlyArray<number> => {
  const models = { [role]: model } as Readonly<Record<R, M>>
  const optimizer = adamw(models, ADAMW)
  return Array.from({ length: STEPS }, () => {
    const { gradients, metrics } = accumulate(objective, models, batches)
    optimizer.apply(gradients, 1e-2, 1)
    tf.dispose(gradients)
    return metrics["loss"]!
  })
}

const matches = <R extends string, M extends Model, B extends MicroBatch>(
  name: string,
  objective: Objective<Readonly<Record<R, M>>, B>,
  role: R,
  make: () => M,
  batches: () => ReadonlyArray<B>
) =>
  onWasm(name, () => {
    const data = batches()
    const whole = losses(objective, role, linearsOf(make()), data)
    const adapted = losses(objective, role, adaptNew(freeze(make()), fullRank, 1).model, data)
    expect(Math.abs(whole.at(-1)! - whole[0]!)).toBeGreaterThan(1e-2)
    // float32 losses of about 1; AdamW divides by roots of tiny squares, which rounding moves
    whole.forEach((loss, step) => expect(Math.abs(adapted[step]! - loss), `step ${step + 1}`).toBeLessThan(2e-4))
  })

const packed = { layout: "packed", padId: 0 } as const
const policy = () => smallModel()

const rollout = () => {
  const rows = collate(unevenRows, packed)
  const tokens = rows.scored.index.length
  const model = smallModel()
  const oldLogProbs = tf.tidy(() => model.tokenLogProbs(rows).logProbs.dataSync() as Float32Array)
  model.dispose()
  return {
    rows,
    numbers: Int32Array.from(unevenRows, (_, i) => i),
    tokens,
    origins: unevenRows.map((_, i) => `row ${i}`),
    advantages: Float32Array.from({ length: tokens }, (_, t) => Math.sin(3 * t)),
    oldLogProbs,
    samplingLogProbs: undefined,
    referenceLogProbs: undefined,
    klCoefficient: 0
  }
}

const distilled = { loss: forwardDivergence(), tail: "bucket", divergenceWeight: 1, crossEntropyWeight: 0 } as const

describe("an adapter of full rank takes the steps of full-weight training", () => {
  matches("SFT", negativeLogLikelihood, "policy", policy, () => [
    { rows: collate(unevenRows, packed), tokens: 1, origins: unevenRows.map((_, i) => `row ${i}`) }
  ])
  matches("DPO, SPIN", preferenceObjective(dpo({ beta: 0.5 })), "policy", policy, () => [
    pairBatch(unevenPairs, smallModel(11)),
    pairBatch(unevenPairs.slice(0, 2), smallModel(11))
  ])
  matches("KTO", unpairedObjective(kto({ beta: 0.5 })), "policy", policy, () => {
    const units = unevenRows.map((one, i): UnpairedUnit => ({
      row: { ...one, label: i % 2 === 0 },
      tokens: one.ids.length,
      origin: `row ${i}`
    }))
    return [unpairedBatch(packed, withMismatched(packed, units), smallModel(11))]
  })
  matches("GRPO, PPO's actor", policyGradientObjective(plainLoss), "policy", policy, () => [rollout()])
  matches("distillation", distillationObjective(distilled), "policy", policy, () => [
    taughtBatch(smallModel(11), unevenRows, 3)
  ])
  const scalar = (): ScalarModel =>
    createScalarModel(
      {
        family: llama,
        vocabulary: VOCABULARY,
        width: 16,
        layers: 2,
        heads: 4,
        mlpWidth: 24,
        maxPositions: 32,
        settings: { initializer_range: 0.3 }
      },
      { attributes: ["reward"], pooling: "last" },
      5
    )
  matches("PPO's critic", valueObjective(0), "critic", scalar, () => [
    valueBatch(
      unevenRows.map((row, r) => {
        const counted = row.lossMask.reduce((sum, counts) => sum + counts, 0)
        const returns = Float32Array.from({ length: counted }, (_, t) => Math.sin(2 * r + t))
        return { row, origin: `row ${r}`, oldValues: new Float32Array(counted), returns }
      }),
      packed
    )
  ])
  matches("reward models", pairwiseObjective(bradleyTerry()), "reward", scalar, () => [
    scoredPairs(packed, unevenPairs)
  ])
})
