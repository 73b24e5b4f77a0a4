import { absoluteK1, k1, k2, k3, type KlEstimator } from "@plumbline/numerics"
import { tf } from "@plumbline/runtime"
import { accumulate, evaluate } from "@plumbline/training"
import { objectiveLaws } from "@plumbline/training/testing"
import { describe, expect } from "vitest"
import { lossAndGradients, batchOf, plainLoss, tableBatch } from "../testing/policy-gradient-case.ts"
import { expectClose, onWasm } from "../testing/preference-case.ts"
import { smallModel, transitionModel, unevenRows } from "../testing/small-models.ts"
import { constantLength, sequenceMean } from "./aggregation.ts"
import { policyGradientObjective, type PolicyGradientLoss } from "./policy-gradient-objective.ts"
import {
  maskByGeometricMean,
  maskSequences,
  maskTokens,
  type SamplerCorrection,
  truncateByGeometricMean,
  truncateSequences,
  truncateTokens
} from "./sampler-correction.ts"
import { clip, geometricClip } from "./surrogates/clip.ts"
import { logLikelihood } from "./surrogates/likelihood.ts"
import { rolloutRows } from "./rollout-batch.ts"
import { collate } from "@plumbline/data"
import type { CausalLM } from "@plumbline/models"

const inLoss = (estimate: KlEstimator, weighedByRatio = false) => ({
  klInLoss: { estimator: { name: "k", estimate }, weighedByRatio }
})

describe("KL in the loss", () => {
  const still = { advantages: [0], old: [-1], reference: [-1.3], klCoefficient: 1 }
  // at log π = −1, log π_ref = −1.3: value and gradient 1, d, 1 − e^−d; |d| is 1 there
  const table: ReadonlyArray<readonly [string, KlEstimator, number, number]> = [
    ["k1", k1, 0.3, 1],
    ["|k1|", absoluteK1, 0.3, 1],
    ["k2", k2, 0.045, 0.3],
    ["k3", k3, 0.0408182207, 0.2591817793]
  ]
  for (const [name, estimate, value, gradient] of table) {
    onWasm(`${name}: ${value}, and its gradient`, () => {
      const seen = lossAndGradients(inLoss(estimate), batchOf([1], still), [-1])
      expectClose([seen.value, ...seen.gradient], [value, gradient], 1e-6)
      expectClose(seen.differences, [gradient], 2e-3)
    })
  }

  onWasm("|k1| pulls back from both sides", () => {
    const below = batchOf([1], { ...still, reference: [-0.7] })
    expectClose(lossAndGradients(inLoss(absoluteK1), below, [-1]).gradient, [-1], 1e-6)
  })

  onWasm("is added to the surrogate: 0.0142422211 a token on the table's batch", () => {
    const { differences, gradient, value } = lossAndGradients(inLoss(k3), tableBatch(0.5))
    expectClose([value], [-0.2165924977 + 0.5 * 0.0142422211], 1e-6)
    expectClose(gradient, differences, 2e-3)
  })

  onWasm("weighed by the ratio it has the ratio's gradient, too", () => {
    const { differences, gradient, value } = lossAndGradients(inLoss(k3, true), tableBatch(1))
    // Σ e^(lp − old)·k3 / 5, float64
    expectClose([value], [-0.2165924977 + 0.0116397331], 1e-6)
    expectClose(gradient, differences, 2e-3)
  })
})

describe("sampler correction", () => {
  // old −1, −.5, −2 against −1.3, −.4, −2.9: weights 1.34986, .90484, 2.45960; product 3.00417; geometric mean 1.44292
  const batch = () => batchOf([3], { advantages: [1, 1, 1], old: [-1, -0.5, -2], sampling: [-1.3, -0.4, -2.9] })
  const [a, b] = [1.3498588, 0.9048374]
  const table: ReadonlyArray<readonly [string, SamplerCorrection, ReadonlyArray<number>]> = [
    ["tokens, truncated at 2", truncateTokens({ cap: 2 }), [a, b, 2]],
    ["tokens, outside [.95, 2] dropped", maskTokens({ low: 0.95, high: 2 }), [a, 0, 0]],
    ["responses, truncated at 2", truncateSequences({ cap: 2 }), [2, 2, 2]],
    ["responses, truncated at 4", truncateSequences({ cap: 4 }), [3.00417, 3.00417, 3.00417]],
    ["TRL's default drops it", maskSequences({ cap: 3 }), [0, 0, 0]],
    ["responses, geometric mean", truncateByGeometricMean({ cap: 2 }), [1.4429199, 1.4429199, 1.4429199]],
    ["responses, geometric mean truncated at 1.2", truncateByGeometricMean({ cap: 1.2 }), [1.2, 1.2, 1.2]],
    ["responses kept by their geometric mean", maskByGeometricMean({ low: 0.5, high: 1.5, cap: 2 }), [a, b, 2]],
    ["responses dropped by it", maskByGeometricMean({ low: 0.5, high: 1.44, cap: 2 }), [0, 0, 0]]
  ]
  for (const [name, correction, weights] of table) {
    onWasm(name, () => {
      const { gradient, value } = lossAndGradients({ correction }, batch(), [-1, -0.5, -2])
      const mean = weights.reduce((sum, weight) => sum + weight, 0) / 3
      // ratio 1: −w·A, with the weights constant
      expectClose([value, ...gradient], [-mean, ...weights.map((weight) => -weight / 3)], 1e-5)
    })
  }

  onWasm("leaves the KL alone, which is no part of what was sampled", () => {
    const drawn = { ...batch(), referenceLogProbs: Float32Array.of(-1.3, -0.8, -2.3), klCoefficient: 1 }
    const { value } = lossAndGradients({ ...inLoss(k1), correction: maskSequences({ cap: 3 }) }, drawn, [-1, -0.5, -2])
    expectClose([value], [0.3], 1e-6)
  })
})

describe("the policy-gradient objective", () => {
  onWasm("counts the response's tokens alone, shifted by one, at the sampling temperature", () => {
    const policy = transitionModel([
      [0.2, 0.5, 0.3],
      [0.6, 0.1, 0.3],
      [0.1, 0.1, 0.8]
    ]) as CausalLM
    const batch = {
      ...batchOf([2], { advantages: [1, 2] }),
      rows: collate([{ ids: Int32Array.of(0, 1, 2, 2), lossMask: Uint8Array.of(0, 0, 1, 1) }], {
        layout: "packed",
        padId: 0
      })
    }
    const loss = policyGradientObjective({ ...plainLoss, surrogate: logLikelihood() })
    // −(ln P(2|1) + 2·ln P(2|2)) / 2
    const { metrics } = evaluate(loss, { policy }, [batch])
    expectClose([metrics["loss"]!], [-(Math.log(0.3) + 2 * Math.log(0.8)) / 2], 1e-6)
    expect(metrics["ratio/mean"]).toBe(1)
    expect(metrics["clip_ratio/region_mean"]).toBe(0)
  })

  onWasm("says 2 bits of entropy for a uniform choice of four", () => {
    const policy = transitionModel(Array.from({ length: 4 }, () => [0.25, 0.25, 0.25, 0.25])) as CausalLM
    const { metrics } = evaluate(policyGradientObjective(plainLoss), { policy }, [
      batchOf([3], { advantages: [1, 1, 1] })
    ])
    expectClose([metrics["entropy"]! / Math.LN2], [2], 1e-6)
  })

  onWasm("takes entropy from the loss, with its gradient, and log-probs at the temperature", () => {
    const policy = smallModel()
    const { logProbs } = policy.tokenLogProbs(batchOf([4, 2], { advantages: [] }).rows, { temperature: 0.7 })
    const batch = batchOf([4, 2], { advantages: [0, 0, 0, 0, 0, 0] })
    const step = (entropyCoefficient: number) => {
      const loss = policyGradientObjective({ ...plainLoss, entropyCoefficient, temperature: 0.7 })
      const { gradients, metrics, observed } = accumulate(loss, { policy }, [batch])
      tf.dispose(gradients)
      return { metrics, logProbs: observed[0]!["logProbs"]! }
    }
    const [without, withBonus] = [step(0), step(0.25)]
    expect(without.metrics["grad_norm"]).toBe(0)
    expectClose([withBonus.metrics["loss"]!], [-0.25 * withBonus.metrics["entropy"]!], 1e-6)
    expect(withBonus.metrics["grad_norm"]!).toBeGreaterThan(1e-3)
    expectClose([...without.logProbs], [...logProbs.dataSync()], 1e-6)
    policy.dispose()
    logProbs.dispose()
  })

  const advantages = (seed: number, count: number) =>
    Float32Array.from({ length: count }, (_, i) => Math.sin(3 * i + seed))
  const losses: ReadonlyArray<readonly [string, Partial<PolicyGradientLoss>, boolean]> = [
    ["DAPO with KL and entropy", { ...inLoss(k3, true), entropyCoefficient: 0.01 }, false],
    ["GSPO", { surrogate: geometricClip({ low: 0.01, high: 0.01 }), aggregation: sequenceMean() }, false],
    ["Dr.GRPO, on-policy, corrected", { aggregation: constantLength(8), correction: truncateTokens({ cap: 2 }) }, true],
    ["dual clip at a temperature", { surrogate: clip({ low: 0.1, high: 0.1, dual: 3 }), temperature: 0.7 }, false]
  ]
  for (const [name, loss, fresh] of losses) {
    objectiveLaws(name, {
      objective: policyGradientObjective({ ...plainLoss, ...loss }),
      models: () => ({ policy: smallModel() }),
      // advantages of both signs, up to 1: their sum is smaller than what its roundings are of
      scale: 1,
      splits: ({ policy }) => {
        // numbers of each row, whatever batch it falls into
        const numbers = unevenRows.map((one, r) => {
          const { logProbs } = policy.tokenLogProbs(collate([one], { layout: "packed", padId: 0 }))
          const own = logProbs.dataSync() as Float32Array
          tf.dispose(logProbs)
          const near = (spread: number) => own.map((value, t) => value + spread * Math.cos(5 * t + r))
          return {
            row: one,
            advantages: advantages(r, own.length),
            old: near(0.2),
            sampling: near(0.3),
            reference: near(0.4)
          }
        })
        const batch = (rows: ReadonlyArray<number>, layout: "packed" | "padded-left" | "padded-right" = "packed") =>
          rolloutRows(
            rows.map((r) => ({
              number: r,
              origin: `row ${r}`,
              row: numbers[r]!.row,
              advantages: numbers[r]!.advantages,
              oldLogProbs: fresh ? undefined : numbers[r]!.old,
              samplingLogProbs: numbers[r]!.sampling,
              referenceLogProbs: numbers[r]!.reference
            })),
            { layout, padId: 0, klCoefficient: 0.1 }
          )
        const all = unevenRows.map((_, r) => r)
        return [
          [batch(all)],
          all.map((r) => batch([r])),
          [batch(all.slice(0, 2)), batch(all.slice(2), "padded-right")],
          [batch(all.toReversed(), "padded-left")]
        ]
      }
    })
  }
})
