import { describe, expect, it } from "vitest"
import { TOKEN_LOG_PROBS } from "../kernels/names.ts"
import { logCollision } from "../ops/log-collision.ts"
import { tokenEntropies } from "../ops/token-entropies.ts"
import { chunkLogits, composedTokenLogProbs, tokenLogProbs, type TokenLogProbsOptions } from "../ops/token-log-probs.ts"
import { tf, type Tensor2D } from "../tf.ts"
import { type DifferentiableCase, differentiableSuite } from "./differentiable-suite.ts"
import { expectClose, finiteDifferences, gradientsOf, leavesNothing, noise, wave } from "./tensors.ts"

const targetsFor = (count: number, vocabulary: number) =>
  Int32Array.from({ length: count }, (_, i) => (i * 7 + 3) % vocabulary)

const logProbCase = (
  count: number,
  vocabulary: number,
  width: number,
  options: TokenLogProbsOptions = {}
): DifferentiableCase => ({
  title: `tokenLogProbs of ${count} tokens, vocabulary ${vocabulary}, ${JSON.stringify(options)}`,
  kernel: TOKEN_LOG_PROBS,
  inputs: () => [noise([count, width], "hidden"), noise([vocabulary, width], "weight")],
  op: (hidden: Tensor2D, weight: Tensor2D) =>
    tokenLogProbs(hidden, weight, targetsFor(count, vocabulary), options).logProbs,
  composed: (hidden: Tensor2D, weight: Tensor2D) =>
    composedTokenLogProbs(hidden, weight, targetsFor(count, vocabulary), options).logProbs,
  // log-probs, entropy, correct
  leaves: 3,
  small: count === 3
})

// Computed in float64 with torch 2.13 (log_softmax of the capped logits over the temperature, autograd) on hidden =
// wave([3, 2], 0.3), weight = wave([5, 2], 1.1, 2), targets 4, 0, 2, weights 1, −0.5, 2 of the three log-probs.
const literals = [
  {
    options: {},
    logProbs: [-1.038389, -0.4002422, -0.6817337],
    entropy: [1.028461, 0.8624373, 1.292198],
    correct: [0, 1, 1],
    hidden: [-0.4767926, 0.1556493, -0.1496546, -0.1224202, -1.368173, -2.088423],
    weight: [
      -0.3261273, -0.4985108, 0.007773643, 0.1839589, 0.03984989, -0.6106057, -0.02227001, 0.2367637, 0.3007738,
      0.6883939
    ]
  },
  {
    options: { temperature: 0.7, softCap: 1.5 },
    logProbs: [-0.9109077, -0.8480021, -0.5845471],
    entropy: [1.077497, 1.13125, 1.190006],
    correct: [0, 1, 1],
    hidden: [-0.1424252, 0.2671078, 0.1059934, 0.04413447, -0.7933467, -1.326876],
    weight: [
      -0.06777762, -0.09241316, 0.02868574, 0.2317351, 0.03001991, -0.4509026, -0.0279764, 0.3296441, 0.1373728,
      0.3124382
    ]
  }
]

export const logProbSuite = (): void => {
  differentiableSuite([
    logProbCase(3, 5, 2),
    logProbCase(3, 5, 2, { temperature: 0.7, softCap: 1.5 }),
    // Around the number of tokens whose logits exist at one time.
    ...[1, 255, 256, 257].map((count) => logProbCase(count, 37, 6)),
    logProbCase(40, 1030, 9, { softCap: 4 }),
    logProbCase(2, 30_001, 2, { temperature: 0.7, softCap: 3 })
  ])

  describe.each(literals)("tokenLogProbs $options", ({ correct, entropy, hidden, logProbs, options, weight }) => {
    it("has the values and gradients of torch", () => {
      leavesNothing(() => {
        const targets = Int32Array.of(4, 0, 2)
        const inputs = [wave<Tensor2D>([3, 2], 0.3), wave<Tensor2D>([5, 2], 1.1, 2)] as const
        const result = tokenLogProbs(...inputs, targets, options)
        expectClose(result.logProbs, logProbs)
        expectClose(result.entropy, entropy)
        expectClose(result.correct, correct, 0)
        const op = (states: Tensor2D, matrix: Tensor2D) => tokenLogProbs(states, matrix, targets, options).logProbs
        const [dHidden, dWeight] = gradientsOf(op, inputs, tf.tensor1d([1, -0.5, 2]))
        expectClose(dHidden!, hidden)
        expectClose(dWeight!, weight)
      })
    })
  })

  describe.each(literals)("tokenEntropies $options", ({ entropy, options }) => {
    const inputs = () => [wave<Tensor2D>([3, 2], 0.3), wave<Tensor2D>([5, 2], 1.1, 2)] as const
    const op = (states: Tensor2D, matrix: Tensor2D) => tokenEntropies(states, matrix, options)

    it("has the values of torch, and the gradients of finite differences", () => {
      leavesNothing(() => {
        expectClose(op(...inputs()), entropy)
        const weights = tf.tensor1d([1, -0.5, 2])
        const expected = finiteDifferences(op, inputs(), weights)
        gradientsOf(op, inputs(), weights).forEach((gradient, i) => expectClose(gradient, expected[i]!, 3e-3))
      })
    })

    it("has the gradients of the ops it is made of, over more tokens than are computed at one time", () => {
      leavesNothing(() => {
        const many = [noise<Tensor2D>([257, 6], "hidden"), noise<Tensor2D>([37, 6], "weight")] as const
        const whole = (states: Tensor2D, matrix: Tensor2D) => {
          const { logits } = chunkLogits(states, matrix, options)
          return tf.neg(tf.sum(tf.mul(tf.softmax(logits), tf.logSoftmax(logits)), 1))
        }
        const weights = noise([257], "weights")
        const expected = gradientsOf(whole, many, weights)
        gradientsOf(op, many, weights).forEach((gradient, i) => expectClose(gradient, expected[i]!, 1e-5))
      })
    })
  })

  describe("logCollision", () => {
    it("is the log of the sum of squared probabilities, over more tokens than are computed at one time", () => {
      leavesNothing(() => {
        const [hidden, weight] = [noise<Tensor2D>([257, 6], "hidden"), noise<Tensor2D>([37, 6], "weight")]
        const probs = tf.softmax(tf.div(tf.matMul(hidden, weight, false, true), 0.7))
        const expected = tf.log(tf.sum(tf.square(probs), 1))
        expectClose(logCollision(hidden, weight, { temperature: 0.7 }), [...expected.dataSync()])
      })
    })

    it("is −ln V where every logit is the same, and 0 where one token is certain", () => {
      leavesNothing(() => {
        expectClose(logCollision(tf.zeros([2, 3]), tf.ones([5, 3]) as Tensor2D), [-Math.log(5), -Math.log(5)])
        expectClose(logCollision(tf.tensor2d([[100]]), tf.tensor2d([[100], [-100]])), [0])
      })
    })
  })

  describe("tokenLogProbs", () => {
    it("stays finite for logits of ±10⁴", () => {
      leavesNothing(() => {
        const hidden = tf.tensor2d([[100], [100]])
        const weight = tf.tensor2d([[100], [-100], [0]])
        // Logits 10⁴, −10⁴, 0: the first token is certain, the second has log-prob −2·10⁴.
        const { correct, entropy, logProbs } = tokenLogProbs(hidden, weight, Int32Array.of(0, 1))
        expectClose(logProbs, [0, -2e4])
        expectClose(entropy, [0, 0])
        expectClose(correct, [1, 0], 0)
        const op = (states: Tensor2D) => tokenLogProbs(states, weight, Int32Array.of(0, 1)).logProbs
        // W[target] − Σ p·W: 100 − 100 and −100 − 100.
        expectClose(gradientsOf(op, [hidden], tf.ones([2]))[0]!, [0, -200])
      })
    })

    it("is ln(1/V) with entropy ln V where every logit is the same, and the first token wins the tie", () => {
      leavesNothing(() => {
        const result = tokenLogProbs(tf.zeros([2, 3]), tf.ones([5, 3]) as Tensor2D, Int32Array.of(0, 4))
        expectClose(result.logProbs, [-Math.log(5), -Math.log(5)])
        expectClose(result.entropy, [Math.log(5), Math.log(5)])
        expectClose(result.correct, [1, 0], 0)
      })
    })

    it("refuses targets outside the vocabulary and a wrong number of them", () => {
      leavesNothing(() => {
        const [hidden, weight] = [tf.zeros([2, 3]) as Tensor2D, tf.zeros([5, 3]) as Tensor2D]
        const run = (targets: Int32Array) => () => tokenLogProbs(hidden, weight, targets)
        expect(run(Int32Array.of(0, 5))).toThrow("target 5 (at 1) of a vocabulary of 5")
        expect(run(Int32Array.of(0))).toThrow("1 targets for 2 hidden states")
      })
    })
  })
}
