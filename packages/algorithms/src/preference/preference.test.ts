import type { RowLayout, TokenizedRow } from "@plumbline/data"
import { type CausalLM, freeze } from "@plumbline/models"
import { tf } from "@plumbline/runtime"
import { accumulate, evaluate } from "@plumbline/training"
import { objectiveLaws } from "@plumbline/training/testing"
import { describe, expect } from "vitest"
import { expectClose, onWasm } from "../testing/preference-case.ts"
import { row, smallModel, transitionModel, unevenRows } from "../testing/small-models.ts"
import { dpo } from "./dpo.ts"
import { ipo } from "./ipo.ts"
import { chosenCrossEntropy, mix } from "./mix.ts"
import { type PairBatch, pairRows } from "./pair-batch.ts"
import type { PairUnit } from "./preference-data.ts"
import { responseLogProbs } from "./pair-log-probs.ts"
import { preferenceObjective } from "./preference-objective.ts"

const pair = (chosen: TokenizedRow, rejected: TokenizedRow, i = 0): PairUnit => ({
  row: { chosen, rejected },
  tokens: chosen.ids.length + rejected.ids.length,
  origin: `pair ${i}`
})

const unevenPairs = [0, 2, 4].map((i) => pair(unevenRows[i]!, unevenRows[i + 1]!, i))

const batch = (units: ReadonlyArray<PairUnit>, reference: CausalLM, layout: RowLayout = "packed"): PairBatch => {
  const rows = pairRows({ layout, padId: 0 }, units)
  return { ...rows, referenceLogProbs: responseLogProbs(reference, rows) }
}

describe("preference objective", () => {
  onWasm("multiplies the response's token probabilities, and nothing of the prompt", () => {
    // prompt 0 1, chosen 2 2: 0.3·0.8; rejected 0: 0.6. Reference log-probs ln 0.1 and ln 0.2
    const policy = transitionModel([
      [0.2, 0.5, 0.3],
      [0.6, 0.1, 0.3],
      [0.1, 0.1, 0.8]
    ])
    const rows = pairRows({ layout: "packed", padId: 0 }, [pair(row([0, 1, 2, 2], 2), row([0, 1, 0], 2))])
    const one = { ...rows, referenceLogProbs: Float32Array.of(Math.log(0.1), Math.log(0.2)) }
    const objective = preferenceObjective(
      mix([
        { loss: dpo({ beta: 0.5 }), weight: 1 },
        { loss: chosenCrossEntropy, weight: 0.1 }
      ])
    )
    const { metrics } = evaluate(objective, { policy: policy as CausalLM }, [one])
    const [chosen, rejected] = [Math.log(0.24 / 0.1), Math.log(0.6 / 0.2)]
    const nll = -Math.log(0.24) / 2
    expectClose([metrics["loss"]!], [Math.log1p(Math.exp(-0.5 * (chosen - rejected))) + 0.1 * nll], 1e-6)
    expectClose([metrics["logps/chosen"]!, metrics["logps/rejected"]!], [Math.log(0.24), Math.log(0.6)], 1e-6)
    expectClose([metrics["rewards/chosen"]!, metrics["rewards/rejected"]!], [0.5 * chosen, 0.5 * rejected], 1e-6)
    expectClose([metrics["rewards/margins"]!], [0.5 * (chosen - rejected)], 1e-6)
    expect(metrics["rewards/accuracies"]).toBe(0)
  })

  onWasm("costs exactly ln 2 at the start, with no reward and no accuracy", () => {
    const policy = smallModel()
    const reference = freeze(policy)
    const { metrics } = evaluate(preferenceObjective(dpo({ beta: 0.1 })), { policy }, [batch(unevenPairs, reference)])
    expect(metrics["loss"]).toBe(Math.fround(Math.LN2))
    for (const name of ["rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies"]) {
      expect(metrics[name], name).toBe(0)
    }
    policy.dispose()
    reference.dispose()
  })

  onWasm("pushes the chosen response up and the rejected one down", () => {
    const policy = smallModel()
    const reference = freeze(policy)
    const made = batch(unevenPairs, reference)
    const objective = preferenceObjective(dpo({ beta: 0.1 }))
    const { gradients } = accumulate(objective, { policy }, [made])
    for (const variable of policy.variables) {
      tf.tidy(() => variable.assign(tf.sub(variable, tf.mul(0.02, gradients[variable.name]!))))
    }
    const { metrics } = evaluate(objective, { policy }, [made])
    expect(metrics["rewards/margins"]).toBeGreaterThan(0)
    expect(metrics["loss"]).toBeLessThan(Math.LN2)
    // the reference shared its weights with the policy until now
    expect([...batch(unevenPairs, reference).referenceLogProbs]).toEqual([...made.referenceLogProbs])
    tf.dispose(gradients)
    policy.dispose()
    reference.dispose()
  })

  const losses = [
    dpo({ beta: 0.3 }),
    ipo({ beta: 0.3 }),
    mix([
      { loss: dpo({ beta: 0.3 }), weight: 1 },
      { loss: chosenCrossEntropy, weight: 0.5 }
    ])
  ]
  for (const loss of losses) {
    objectiveLaws(loss.name, {
      objective: preferenceObjective(loss),
      models: () => ({ policy: smallModel() }),
      splits: () => {
        const reference = smallModel(11)
        const splits = [
          [batch(unevenPairs, reference)],
          unevenPairs.map((unit) => batch([unit], reference)),
          [batch(unevenPairs.slice(0, 2), reference), batch(unevenPairs.slice(2), reference)],
          [batch(unevenPairs, reference, "padded-right")],
          [batch(unevenPairs, reference, "padded-left")]
        ]
        reference.dispose()
        return splits
      }
    })
  }
})
