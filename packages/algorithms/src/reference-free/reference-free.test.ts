import type { RowLayout, TokenizedTriple } from "@plumbline/data"
import type { CausalLM } from "@plumbline/models"
import { evaluate } from "@plumbline/training"
import { objectiveLaws } from "@plumbline/training/testing"
import { describe, expect, it } from "vitest"
import { expectClose, onWasm } from "../testing/preference-case.ts"
import { preference } from "../preference/preference.ts"
import { row, smallModel, transitionModel, unevenRows } from "../testing/small-models.ts"
import { alphaPo } from "./alpha-po.ts"
import { cpo, cpoIpo } from "./cpo.ts"
import { orpo } from "./orpo.ts"
import { referenceFreeBatch, type RowUnit } from "./reference-free-batch.ts"
import { referenceFreeObjective } from "./reference-free-objective.ts"
import type { ReferenceFreeLoss } from "./reference-free-loss.ts"
import { simpo } from "./simpo.ts"
import { tpo } from "./tpo.ts"

const unit = (triple: TokenizedTriple, i = 0): RowUnit<TokenizedTriple> => ({
  row: triple,
  tokens: 0,
  origin: `pair ${i}`
})
const packed = { layout: "packed", padId: 0 } as const

const transitions = [
  [0.2, 0.5, 0.3],
  [0.6, 0.1, 0.3],
  [0.1, 0.1, 0.8]
]
// prompt 0 1; chosen 2 2: .3·.8; rejected 0: .6; gold 1: .1
const one = unit({ chosen: row([0, 1, 2, 2], 2), rejected: row([0, 1, 0], 2), gold: row([0, 1, 1], 2) })
const [chosen, rejected, gold, prompt] = [Math.log(0.24), Math.log(0.6), Math.log(0.1), Math.log(0.5)]

const metricsOf = (loss: ReferenceFreeLoss<TokenizedTriple>) => {
  const policy = transitionModel(transitions) as CausalLM
  return evaluate(referenceFreeObjective(loss), { policy }, [referenceFreeBatch(packed, [one], loss.imitation)]).metrics
}

describe("reference-free objective", () => {
  onWasm("adds the chosen cross-entropy, a mean over tokens, to a loss on sums", () => {
    const metrics = metricsOf(cpo({ beta: 0.5, imitationWeight: 0.25 }))
    const pairLoss = Math.log1p(Math.exp(-0.5 * (chosen - rejected)))
    expectClose([metrics["nll_loss"]!, metrics["loss"]!], [-chosen / 2, pairLoss - (0.25 * chosen) / 2], 1e-6)
    expectClose([metrics["logps/chosen"]!, metrics["logps/rejected"]!], [chosen, rejected], 1e-6)
    expectClose(
      [metrics["rewards/chosen"]!, metrics["rewards/margins"]!],
      [0.5 * chosen, 0.5 * (chosen - rejected)],
      1e-6
    )
    expect(metrics["rewards/accuracies"]).toBe(0)
  })

  onWasm(
    "divides log-probs by lengths where the loss is normalized, and reports no cross-entropy where none is added",
    () => {
      const metrics = metricsOf(simpo({ beta: 2, margin: 1 }))
      const gap = 2 * (chosen / 2 - rejected)
      expectClose([metrics["loss"]!, metrics["logps/chosen"]!], [Math.log1p(Math.exp(1 - gap)), chosen / 2], 1e-6)
      expect(metrics["nll_loss"]).toBe(0)
    }
  )

  onWasm("counts the prompt in orpo's cross-entropy, and only there", () => {
    const metrics = metricsOf(orpo({ beta: 0.1 }))
    expectClose([metrics["nll_loss"]!], [-(prompt + chosen) / 3], 1e-6)
    expectClose([metrics["logps/chosen"]!, metrics["logps/rejected"]!], [chosen / 2, rejected], 1e-6)
    const entropy = (...ps: ReadonlyArray<number>) => -ps.reduce((sum, p) => sum + p * Math.log(p), 0)
    const [afterPrompt, afterTwo] = [entropy(0.6, 0.1, 0.3), entropy(0.1, 0.1, 0.8)]
    expectClose([metrics["entropy"]!], [(2 * afterPrompt + afterTwo) / 3], 1e-6)
    // the likeliest token after 1 is 0, after 2 it is 2
    expect(metrics["mean_token_accuracy"]).toBe(0.5)
  })

  onWasm("imitates a gold response in a row of its own", () => {
    const metrics = metricsOf(tpo({ beta: 0.5 }))
    expectClose([metrics["nll_loss"]!], [-gold], 1e-6)
    expectClose([metrics["loss"]!], [Math.log1p(Math.exp(-0.5 * (chosen - rejected))) - gold], 1e-6)
  })

  const triples = [0, 2, 4].map((i) =>
    unit({ chosen: unevenRows[i]!, rejected: unevenRows[i + 1]!, gold: unevenRows[(i + 3) % 6]! }, i)
  )
  const losses: ReadonlyArray<ReferenceFreeLoss<TokenizedTriple>> = [
    cpo({ beta: 0.3 }),
    cpoIpo({ beta: 0.3, imitationWeight: 0 }),
    simpo({ beta: 2, margin: 0.5, imitationWeight: 0.5 }),
    alphaPo({ beta: 2, margin: 0.5, alpha: 0.25 }),
    orpo({ beta: 0.5 }),
    tpo({ beta: 0.3 })
  ]
  for (const loss of losses) {
    const batch = (some: typeof triples, layout: RowLayout = "packed") =>
      referenceFreeBatch({ ...packed, layout }, some, loss.imitation)
    objectiveLaws(loss.name, {
      objective: referenceFreeObjective(loss),
      models: () => ({ policy: smallModel() }),
      scale: 1,
      splits: () => [
        [batch(triples)],
        triples.map((triple) => batch([triple])),
        [batch(triples.slice(0, 2)), batch(triples.slice(2))],
        [batch(triples, "padded-right")],
        [batch(triples, "padded-left")]
      ]
    })
  }

  it("is of a type that no algorithm with a reference takes", () => {
    // @ts-expect-error simpo has no place for a reference
    expect(preference(simpo({ beta: 2, margin: 1 })).name).toBe("simpo")
  })

  it("keeps a row that is imitated on the chosen tokens in one forward pass", () => {
    expect(referenceFreeBatch(packed, triples, orpo({ beta: 0.1 }).imitation).responses.length).toBe(6)
    expect(referenceFreeBatch(packed, triples, tpo({ beta: 0.1 }).imitation).responses.length).toBe(9)
  })
})
