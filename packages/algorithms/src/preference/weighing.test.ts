import type { CausalLM } from "@plumbline/models"
import { tf } from "@plumbline/runtime"
import { accumulate, evaluate } from "@plumbline/training"
import { describe, expect } from "vitest"
import { expectClose, lossOf, onWasm } from "../testing/preference-case.ts"
import { pairBatch, pairUnit, unevenPairs } from "../testing/preference-batches.ts"
import { row, smallModel, transitionModel } from "../testing/small-models.ts"
import { aot } from "./aot.ts"
import { dpo } from "./dpo.ts"
import { lengthDesensitized } from "./ld-dpo.ts"
import { chosenCrossEntropy, mix } from "./mix.ts"
import { onPolicyWeights } from "./on-policy-weights.ts"
import { pairRows } from "./pair-batch.ts"
import { responseSums } from "./pair-log-probs.ts"
import { preferenceObjective } from "./preference-objective.ts"
import { onPolicyWeighted } from "./wpo.ts"

describe("LD-DPO", () => {
  // the table's tokens: three of the chosen response, two of the rejected one
  const unit = pairUnit(row([0, 1, 1, 1], 1), row([0, 2, 2], 1))
  const sums = (tailWeight: number, ...logProbs: ReadonlyArray<number>) => {
    const batch = pairRows({ layout: "padded-right", padId: 0 }, [unit], tailWeight)
    return tf.tidy(() => [...responseSums(tf.tensor1d([...logProbs]), batch).dataSync()])
  }
  const logRatios = (tailWeight: number) => {
    const policy = sums(tailWeight, -1, -2, -3, -1.5, -0.5)
    const reference = sums(tailWeight, -1.2, -2.2, -2.5, -1, -0.7)
    return { chosen: [policy[0]! - reference[0]!], rejected: [policy[1]! - reference[1]!] }
  }

  onWasm("equals the table: tokens beyond the shorter response count α", () => {
    // Δ .55 with α = .3, .2 without
    expectClose(lossOf(dpo({ beta: 0.1 }), logRatios(0.3)), [0.6660252579], 1e-6)
    expectClose(lossOf(dpo({ beta: 0.1 }), logRatios(1)), [0.6831971797], 1e-6)
  })

  onWasm("weighs the longer side's tail, whichever side it is", () => {
    const batch = pairRows({ layout: "packed", padId: 0 }, unevenPairs, 0.25)
    const lengths = unevenPairs.map(({ row: { chosen, rejected } }) =>
      [chosen, rejected].map(({ lossMask }) => lossMask.reduce((sum, counts) => sum + counts, 0))
    )
    const tails = lengths.map(([chosen, rejected]) => Math.abs(chosen! - rejected!))
    expect(tails).toEqual([2, 0, 2, 4])
    const weights = [...batch.tokenWeights!]
    expect(weights.filter((weight) => weight === 0.25).length).toBe(tails.reduce((sum, tail) => sum + tail, 0))
    // the chosen response of pair 0 has 3 tokens, its rejected one 1: the first counts, the others are tail
    expect(weights.slice(0, 3)).toEqual([1, 0.25, 0.25])
  })

  onWasm("changes nothing at α = 1", () => {
    expect(
      pairRows(
        { layout: "packed", padId: 0 },
        unevenPairs,
        lengthDesensitized(dpo({ beta: 1 }), { alpha: 1 }).tailWeight
      ).tokenWeights
    ).toBeUndefined()
  })
})

describe("WPO", () => {
  onWasm("weighs a pair by the likelihood of its tokens over the mean of the policy's own", () => {
    // chosen tokens .3 and .8 of distributions with Σp² .38 and .66; rejected .1 of .46
    const unit = pairUnit(row([0, 2, 2], 1), row([1, 1], 1))
    const batch = pairRows({ layout: "packed", padId: 0 }, [unit])
    const scored = {
      logProbs: tf.tensor1d([0.3, 0.8, 0.1].map(Math.log)),
      logCollision: tf.tensor1d([0.38, 0.66, 0.46].map(Math.log)),
      entropy: tf.zeros([3]),
      correct: tf.zeros([3])
    }
    const weights = tf.tidy(() => [...onPolicyWeights(scored as never, batch)!.dataSync()])
    expectClose(weights, [Math.sqrt((0.3 / 0.38) * (0.8 / 0.66)) * (0.1 / 0.46)], 1e-6)
  })

  onWasm("multiplies losses by weights that carry no gradient, and leaves the cross-entropy alone", () => {
    const policy = smallModel()
    const plain = mix([
      { loss: dpo({ beta: 0.5 }), weight: 1 },
      { loss: chosenCrossEntropy, weight: 0.5 }
    ])
    const reference = smallModel(11)
    const batch = pairBatch(unevenPairs.slice(0, 1), reference)
    const step = (loss: typeof plain) => accumulate(preferenceObjective(loss), { policy }, [batch])
    const [bare, nll, weighted] = [
      dpo({ beta: 0.5 }),
      { ...chosenCrossEntropy, crossEntropyWeight: 0.5 },
      onPolicyWeighted(plain)
    ].map(step)
    const scored = tf.tidy(() => {
      const { logCollision, logProbs } = policy.tokenLogProbs(batch.rows, { collision: true })
      return onPolicyWeights({ logProbs, logCollision: logCollision! } as never, batch)!.dataSync()[0]!
    })
    expectClose([weighted!.metrics["loss"]!], [scored * bare!.metrics["loss"]! + nll!.metrics["loss"]!], 1e-5)
    for (const [name, gradient] of Object.entries(weighted!.gradients)) {
      const expected = tf.tidy(() => [
        ...tf.add(tf.mul(scored, bare!.gradients[name]!), nll!.gradients[name]!).dataSync()
      ])
      expectClose([...gradient.dataSync()], expected, 1e-5)
    }
    tf.dispose([bare, nll, weighted].map((made) => made!.gradients))
    for (const model of [policy, reference]) model.dispose()
  })
})

describe("a loss that couples pairs", () => {
  onWasm("has the loss and the gradients it has uncoupled, where its pairs do not depend on one another", () => {
    const [policy, reference] = [smallModel(), smallModel(11)]
    const batches = [unevenPairs.slice(0, 3), unevenPairs.slice(3)].map((units) => pairBatch(units, reference))
    const loss = mix([
      { loss: dpo({ beta: 0.5 }), weight: 1 },
      { loss: chosenCrossEntropy, weight: 0.3 }
    ])
    const [plain, coupled] = [loss, { ...loss, coupled: true }].map((made) =>
      accumulate(preferenceObjective(made), { policy }, batches)
    )
    expectClose([coupled!.metrics["loss"]!], [plain!.metrics["loss"]!], 1e-6)
    for (const [name, gradient] of Object.entries(coupled!.gradients)) {
      expectClose([...gradient.dataSync()], [...plain!.gradients[name]!.dataSync()], 1e-5)
    }
    tf.dispose([plain!.gradients, coupled!.gradients])
    for (const model of [policy, reference]) model.dispose()
  })
})

describe("AOT", () => {
  onWasm("sorts over the global batch, not over its micro-batches", () => {
    // answers 0, 1 and 2 to prompt 0: .2, .5 and .3; the reference gives them .4, .4 and .2
    const policy = transitionModel(
      [
        [0.2, 0.5, 0.3],
        [1, 0, 0],
        [1, 0, 0]
      ].map((ps) => ps.map((p) => p || 1e-9))
    ) as CausalLM
    const reference = transitionModel(
      [
        [0.4, 0.4, 0.2],
        [1, 0, 0],
        [1, 0, 0]
      ].map((ps) => ps.map((p) => p || 1e-9))
    ) as CausalLM
    const answer = (token: number) => row([0, token], 1)
    const units = [pairUnit(answer(0), answer(1)), pairUnit(answer(1), answer(2), 1)]
    const loss = evaluate(
      preferenceObjective(aot({ beta: 1 })),
      { policy },
      units.map((unit) => pairBatch([unit], reference))
    ).metrics["loss"]!
    // policy gaps ln .4, ln(5/3); reference gaps 0, ln 2: sorted they pair up as they are; unsorted reference: the same here
    const gaps = [Math.log(0.4) - 0, Math.log(5 / 3) - Math.log(2)]
    expectClose([loss], [gaps.reduce((sum, gap) => sum + Math.log1p(Math.exp(-gap)), 0) / 2], 1e-6)
    const crossed = [pairUnit(answer(1), answer(0)), pairUnit(answer(1), answer(2), 1)]
    const other = evaluate(
      preferenceObjective(aot({ beta: 1 })),
      { policy },
      crossed.map((unit) => pairBatch([unit], reference))
    ).metrics["loss"]!
    // policy gaps ln 2.5 > ln(5/3), reference gaps 0 < ln 2: ranks cross the pairs
    const ranked = [Math.log(5 / 3) - 0, Math.log(2.5) - Math.log(2)]
    expectClose([other], [ranked.reduce((sum, gap) => sum + Math.log1p(Math.exp(-gap)), 0) / 2], 1e-6)
  })
})
