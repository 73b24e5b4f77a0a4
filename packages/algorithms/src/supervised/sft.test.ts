import { collate, type RowLayout } from "@plumbline/data"
import type { CausalLM } from "@plumbline/models"
import { tf, type Tensor1D } from "@plumbline/runtime"
import { evaluate } from "@plumbline/training"
import { objectiveLaws } from "@plumbline/training/testing"
import { describe } from "vitest"
import { expectClose, onWasm } from "../testing/preference-case.ts"
import { row, smallModel, transitionModel, unevenRows } from "../testing/small-models.ts"
import { negativeLogLikelihood, type SupervisedBatch, supervisedObjective } from "./negative-log-likelihood.ts"
import { dft, nll } from "./token-loss.ts"

const batch = (rows: typeof unevenRows, layout: RowLayout = "packed"): SupervisedBatch => ({
  rows: collate(rows, { layout, padId: 0 }),
  tokens: rows.reduce((total, { ids }) => total + ids.length, 0),
  origins: rows.map((_, i) => `row ${i}`)
})

describe("sft", () => {
  onWasm("is the mean negative log-probability of the response tokens alone, shifted by one", () => {
    // P(2|1) = 0.3, P(2|2) = 0.8; prompt 0 1, response 2 2; then prompt 2, response 0: P(0|2) = 0.1
    const policy = transitionModel([
      [0.2, 0.5, 0.3],
      [0.6, 0.1, 0.3],
      [0.1, 0.1, 0.8]
    ])
    const { metrics } = evaluate(negativeLogLikelihood, { policy: policy as CausalLM }, [
      batch([row([0, 1, 2, 2], 2), row([2, 0], 1)])
    ])
    expectClose([metrics["loss"]!], [-(Math.log(0.3) + Math.log(0.8) + Math.log(0.1)) / 3], 1e-6)
    // the argmax of each row is the target once in three: 2 after 2
    expectClose([metrics["mean_token_accuracy"]!], [1 / 3], 1e-6)
    const entropy = (p: ReadonlyArray<number>) => -p.reduce((sum, q) => sum + q * Math.log(q), 0)
    const expected = (entropy([0.6, 0.1, 0.3]) + 2 * entropy([0.1, 0.1, 0.8])) / 3
    expectClose([metrics["entropy"]!], [expected], 1e-6)
  })

  onWasm("with dynamic fine-tuning is −p·log p of each token, whose slope is that of the probability", () => {
    // p = 0.5, 0.1: (0.5·ln 2 + 0.1·ln 10)/2 = 0.2884160 (objectives of TRL 1.13, computed in float64)
    const policy = transitionModel([
      [0.2, 0.5, 0.3],
      [0.6, 0.1, 0.3],
      [0.1, 0.1, 0.8]
    ])
    const { metrics } = evaluate(supervisedObjective(dft), { policy: policy as CausalLM }, [batch([row([0, 1, 1], 1)])])
    expectClose([metrics["loss"]!], [0.288416], 1e-6)
    const slopes = tf.tidy(() => [
      ...tf
        .grad((logProbs) => tf.sum(dft.perToken(logProbs as Tensor1D)))(tf.tensor1d([Math.log(0.5), Math.log(0.1)]))
        .dataSync()
    ])
    expectClose(slopes, [-0.5, -0.1], 1e-6)
  })

  for (const loss of [nll, dft]) {
    objectiveLaws(loss.name, {
      objective: supervisedObjective(loss),
      models: () => ({ policy: smallModel() }),
      splits: () => [
        [batch(unevenRows)],
        unevenRows.map((one) => batch([one])),
        [batch(unevenRows.slice(0, 2)), batch(unevenRows.slice(2))],
        [batch(unevenRows, "padded-right")],
        [batch(unevenRows, "padded-left")],
        [batch(unevenRows.slice(0, 4), "padded-left"), batch(unevenRows.slice(4), "padded-right")]
      ]
    })
  }
})
