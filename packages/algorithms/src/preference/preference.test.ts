import { type CausalLM, freeze } from "@plumbline/models"
import { tf } from "@plumbline/runtime"
import { accumulate, evaluate } from "@plumbline/training"
import { describe, expect } from "vitest"
import { expectClose, onWasm } from "../testing/preference-case.ts"
import { pairBatch, pairUnit, unevenPairs } from "../testing/preference-batches.ts"
import { row, smallModel, transitionModel } from "../testing/small-models.ts"
import { dpo } from "./dpo.ts"
import { chosenCrossEntropy, mix } from "./mix.ts"
import { pairRows } from "./pair-batch.ts"
import { rpoSquared } from "./rpo.ts"
import { preferenceObjective } from "./preference-objective.ts"

describe("preference objective", () => {
  onWasm("multiplies the response's token probabilities, and nothing of the prompt", () => {
    // prompt 0 1, chosen 2 2: 0.3·0.8; rejected 0: 0.6. Reference log-probs ln 0.1 and ln 0.2
    const policy = transitionModel([
      [0.2, 0.5, 0.3],
      [0.6, 0.1, 0.3],
      [0.1, 0.1, 0.8]
    ])
    const rows = pairRows({ layout: "packed", padId: 0 }, [pairUnit(row([0, 1, 2, 2], 2), row([0, 1, 0], 2))])
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

  onWasm("gives the loss graded rewards: chosen less rejected", () => {
    // answers 0 and 1 to prompt 0, .6 and .1 likely, the reference .3 and .2; graded .7 apart
    const policy = transitionModel([
      [0.6, 0.1, 0.3],
      [0.1, 0.1, 0.8],
      [0.1, 0.1, 0.8]
    ])
    const rows = pairRows({ layout: "packed", padId: 0 }, [pairUnit(row([0, 0], 1), row([0, 1], 1), 0, 0.7)])
    const one = { ...rows, referenceLogProbs: Float32Array.of(Math.log(0.3), Math.log(0.2)) }
    const objective = preferenceObjective(rpoSquared({ beta: 0.5 }))
    const { metrics } = evaluate(objective, { policy: policy as CausalLM }, [one])
    expectClose([metrics["loss"]!], [(0.5 * Math.log(4) - 0.7) ** 2], 1e-6)
  })

  onWasm("costs exactly ln 2 at the start, with no reward and no accuracy", () => {
    const policy = smallModel()
    const reference = freeze(policy)
    const { metrics } = evaluate(preferenceObjective(dpo({ beta: 0.1 })), { policy }, [
      pairBatch(unevenPairs, reference)
    ])
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
    const made = pairBatch(unevenPairs, reference)
    const objective = preferenceObjective(dpo({ beta: 0.1 }))
    const { gradients } = accumulate(objective, { policy }, [made])
    for (const variable of policy.variables) {
      tf.tidy(() => variable.assign(tf.sub(variable, tf.mul(0.02, gradients[variable.name]!))))
    }
    const { metrics } = evaluate(objective, { policy }, [made])
    expect(metrics["rewards/margins"]).toBeGreaterThan(0)
    expect(metrics["loss"]).toBeLessThan(Math.LN2)
    // the reference shared its weights with the policy until now
    expect([...pairBatch(unevenPairs, reference).referenceLogProbs]).toEqual([...made.referenceLogProbs])
    tf.dispose(gradients)
    policy.dispose()
    reference.dispose()
  })
})
