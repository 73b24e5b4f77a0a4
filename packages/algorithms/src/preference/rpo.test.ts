import { tf, type Tensor1D } from "@plumbline/runtime"
import { describe, expect } from "vitest"
import { expectClose, gradientsOf, lossOf, onWasm, preferenceLossLaws, tablePair } from "../testing/preference-case.ts"
import { dpo } from "./dpo.ts"
import type { PreferenceLoss } from "./preference-loss.ts"
import { rpoBackwardKl, rpoForwardKl, rpoSquared } from "./rpo.ts"

const graded = { ...tablePair, rewardGaps: [0.8] }

describe("rpo", () => {
  onWasm("equals the table in its three forms", () => {
    // z = .15, g = .8: (z − g)²; KL(σ(g)‖σ(z)); KL(σ(z)‖σ(g)), Bernoulli, float64
    expectClose(lossOf(rpoSquared({ beta: 0.1 }), graded), [0.4225], 1e-6)
    expectClose(lossOf(rpoBackwardKl({ beta: 0.1 }), graded), [0.0483397946], 1e-6)
    expectClose(lossOf(rpoForwardKl({ beta: 0.1 }), graded), [0.0508142187], 1e-6)
  })

  onWasm("scales graded rewards by η", () => {
    // (.15 − .5·.8)²; KL at g = .4
    expectClose(lossOf(rpoSquared({ beta: 0.1, rewardScale: 0.5 }), graded), [0.0625], 1e-6)
    const half = { ...tablePair, rewardGaps: [0.4] }
    const [scaled] = lossOf(rpoBackwardKl({ beta: 0.1, rewardScale: 0.5 }), graded)
    expectClose([scaled!], lossOf(rpoBackwardKl({ beta: 0.1 }), half), 1e-6)
  })

  onWasm("is 0 with no gradient where the implicit gap is the graded one, and pulls back from beyond it", () => {
    const pairs = { chosen: [1, 3], rejected: [0, 0], rewardGaps: [0.5, 0.5] }
    for (const rpo of [rpoSquared, rpoBackwardKl, rpoForwardKl]) {
      const loss = rpo({ beta: 0.5 })
      expectClose(lossOf(loss, pairs).slice(0, 1), [0], 1e-6)
      const { chosen } = gradientsOf(loss, pairs)
      expectClose(chosen.slice(0, 1), [0], 1e-6)
      expect(chosen[1]).toBeGreaterThan(0.01)
    }
  })

  for (const rpo of [rpoSquared, rpoBackwardKl, rpoForwardKl]) {
    const loss = rpo({ beta: 0.3 })
    describe(loss.name, () => preferenceLossLaws(loss))
  }
})

/** A policy over four answers, as logits; the reference finds them 40, 30, 20 and 10 % likely. */
const rewards = [1, 0.9, -0.5, -2]
const reference = [0.4, 0.3, 0.2, 0.1].map(Math.log)
const duels = [0, 1, 2, 3].flatMap((a) =>
  [0, 1, 2, 3].flatMap((b) => (rewards[a]! > rewards[b]! ? [[a, b] as const] : []))
)

/** log π − log π_ref of each answer after plain gradient descent on all six ordered pairs. */
const logRatiosAfter = (loss: PreferenceLoss, steps: number, rate: number): ReadonlyArray<number> => {
  const ones = tf.ones([duels.length]) as Tensor1D
  const side = (which: 0 | 1, values: Tensor1D) =>
    tf.gather(
      values,
      tf.tensor1d(
        duels.map((duel) => duel[which]),
        "int32"
      )
    )
  let logits = tf.tensor1d(reference) as Tensor1D
  for (let step = 0; step < steps; step++) {
    logits = tf.tidy(() => {
      const total = (at: Tensor1D) => {
        const policy = tf.logSoftmax(at) as Tensor1D
        const ratios = tf.sub<Tensor1D>(policy, tf.tensor1d(reference))
        return tf.mean(
          loss.perPair({
            chosen: side(0, ratios),
            rejected: side(1, ratios),
            policyChosen: side(0, policy),
            policyRejected: side(1, policy),
            chosenLengths: ones,
            rejectedLengths: ones,
            rewardGaps: tf.tensor1d(duels.map(([a, b]) => rewards[a]! - rewards[b]!))
          })
        )
      }
      return tf.sub<Tensor1D>(logits, tf.mul(rate, tf.grad(total as never)(logits)))
    })
  }
  return tf.tidy(() => [...tf.sub(tf.logSoftmax(logits), tf.tensor1d(reference)).dataSync()])
}

describe("a tabular policy", () => {
  const beta = 0.5
  const gap = (ratios: ReadonlyArray<number>, a: number, b: number) => beta * (ratios[a]! - ratios[b]!)

  for (const rpo of [rpoSquared, rpoBackwardKl, rpoForwardKl]) {
    const loss = rpo({ beta })
    onWasm(`${loss.name} reaches the optimum of the graded rewards: π ∝ π_ref·e^(reward/β), near-ties kept`, () => {
      const unnormalized = rewards.map((reward, i) => Math.exp(reference[i]! + reward / beta))
      const total = unnormalized.reduce((sum, value) => sum + value, 0)
      const ratios = logRatiosAfter(loss, 1500, 1.5)
      expectClose(
        ratios,
        unnormalized.map((value, i) => Math.log(value / total) - reference[i]!),
        2e-3
      )
      // 1 against 0.9
      expectClose([gap(ratios, 0, 1)], [0.1], 1e-3)
    })
  }

  onWasm("dpo widens every gap for as long as it runs, near-ties too", () => {
    const [early, late] = [logRatiosAfter(dpo({ beta }), 300, 1.5), logRatiosAfter(dpo({ beta }), 1500, 1.5)]
    expect(gap(early, 0, 1)).toBeGreaterThan(0.5)
    expect(gap(late, 0, 1)).toBeGreaterThan(gap(early, 0, 1) + 0.5)
  })
})
