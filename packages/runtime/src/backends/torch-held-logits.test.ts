import { hasCuda } from "@plumbline/tfjs-backend-torch"
import { Effect } from "effect"
import { beforeAll, describe, expect, it } from "vitest"
import { ModelRuntime } from "../model-runtime.ts"
import { tokenLogProbs } from "../ops/token-log-probs.ts"
import { distance, expectClose, gradientsOf, leavesNothing, noise, representable } from "../testing/tensors.ts"
import { tf, type Tensor2D } from "../tf.ts"

/** Vocabularies of which a row takes one block, two, four, eight, and more than these hold; with and without odd ends. */
const vocabularies = [5, 1030, 50_257, 60_000, 128_256, 250_007, 320_000]

// logits are the weights times 1, 2 or −1 exactly, as those are representable
const factors = [1, 2, -1]

/** In float64: what the row of logits comes to, and the gradient of the target's log-prob by each. */
const exact = (weights: Float32Array, factor: number, target: number) => {
  const logits = Float64Array.from(weights, (weight) => weight * factor)
  const most = logits.reduce((a, b) => Math.max(a, b))
  const exps = logits.map((z) => Math.exp(z - most))
  const sum = exps.reduce((a, b) => a + b)
  const logProbs = logits.map((z) => z - most - Math.log(sum))
  const entropy = -logProbs.reduce((total, value) => total + Math.exp(value) * value, 0)
  const slopes = logProbs.map((value, i) => (i === target ? 1 : 0) - Math.exp(value))
  return { logProb: logProbs[target]!, entropy, correct: logits.indexOf(most) === target ? 1 : 0, slopes }
}

/** How far the gradient of a weight may be from what it is in float64. */
const tolerances = [
  ["bfloat16", 1e-2],
  ["float32", 1e-5]
] as const

describe.skipIf(!hasCuda()).each(tolerances)(
  "rows of logits in the shared memory of blocks, on CUDA in %s",
  (precision, tolerance) => {
    beforeAll(async () => {
      await Effect.runPromise(Effect.provide(ModelRuntime, ModelRuntime.layerTorch({ device: "cuda", precision })))
      await tf.setBackend("torch")
    })

    const hidden = () => tf.tensor2d(factors, [3, 1])

    it.each(vocabularies)("come to what they do in float64, gradients too: %d tokens", (vocabulary) => {
      leavesNothing(() => {
        const weights = representable(noise([vocabulary], `weights${vocabulary}`).dataSync() as Float32Array)
        // of two that are equal the first one wins; they lie in different parts of the row
        const most = representable(Float32Array.of(6))[0]!
        weights[Math.floor(vocabulary / 3)] = most
        weights[vocabulary - 1] = most
        const targets = Int32Array.of(Math.floor(vocabulary / 3), vocabulary - 1, 0)
        const wanted = factors.map((factor, i) => exact(weights, factor, targets[i]!))
        const weight = tf.variable(tf.tensor2d(weights, [vocabulary, 1]))
        const seen = tokenLogProbs(hidden(), weight as unknown as Tensor2D, targets)
        expectClose(
          seen.logProbs,
          wanted.map(({ logProb }) => logProb),
          1e-5
        )
        expectClose(
          seen.entropy,
          wanted.map(({ entropy }) => entropy),
          1e-5
        )
        expectClose(
          seen.correct,
          wanted.map(({ correct }) => correct),
          0
        )
        const op = (matrix: Tensor2D) => tokenLogProbs(hidden(), matrix, targets).logProbs
        const gradient = gradientsOf(op, [weight as unknown as Tensor2D], tf.ones([3]))[0]!.dataSync()
        const expected = Float64Array.from(weights, (_, v) =>
          factors.reduce((total, factor, i) => total + factor * wanted[i]!.slopes[v]!, 0)
        )
        expect(distance(gradient, expected)).toBeLessThan(tolerance)
        weight.dispose()
      })
    })

    it("have the same bits whether gradients are asked for or not", () => {
      for (const vocabulary of [1030, 60_000, 128_256, 320_000]) {
        leavesNothing(() => {
          const weight = noise([vocabulary, 8], "weight") as Tensor2D
          const states = noise([70, 8], "states") as Tensor2D
          const targets = Int32Array.from({ length: 70 }, (_, i) => (i * 977) % vocabulary)
          const alone = tokenLogProbs(states, weight, targets)
          const bits = Object.values(alone).map((line) => line.dataSync())
          tf.grad((x) => {
            const { correct, entropy, logProbs } = tokenLogProbs(x as Tensor2D, weight, targets)
            expect([logProbs, entropy, correct].map((line) => line.dataSync())).toEqual(bits)
            return logProbs
          })(states)
        })
      }
    })

    it("let NaN through, and are right for nobody then", () => {
      leavesNothing(() => {
        const weights = new Float32Array(60_000).fill(1)
        weights[40_000] = Number.NaN
        const weight = tf.tensor2d(weights, [60_000, 1])
        const { correct, logProbs } = tokenLogProbs(tf.ones([2, 1]), weight, Int32Array.of(0, 40_000))
        expect([...logProbs.dataSync()]).toEqual([Number.NaN, Number.NaN])
        expect(correct.dataSync()[1]).toBe(0)
        const nowhere = tokenLogProbs(tf.tensor2d([Number.NaN], [1, 1]), weight, Int32Array.of(0))
        expect(nowhere.correct.dataSync()[0]).toBe(0)
      })
    })
  }
)
