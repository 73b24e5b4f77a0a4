import { tf } from "@plumbline/runtime"
import { describe, expect } from "vitest"
import { batchOf, lossAndGradients, tableBatch, tableLogProbs, tableOld } from "../../testing/policy-gradient-case.ts"
import { expectClose, onWasm } from "../../testing/preference-case.ts"
import { type Aggregation, constantLength, sequenceMean, sequenceSum, tokenMean } from "../aggregation.ts"
import { clip, geometricClip, geometricTokenClip, sequenceClip } from "./clip.ts"
import { gmpo } from "./gmpo.ts"
import { cispo, logLikelihood, vespo } from "./likelihood.ts"
import { sapo } from "./sapo.ts"
import type { Surrogate } from "./surrogate.ts"

const plain = clip({ low: 0.2, high: 0.2 })
const higher = clip({ low: 0.2, high: 0.28 })

// float64, from the formulas, on the batch of `tableBatch`
const table: ReadonlyArray<readonly [string, Surrogate, Aggregation, number]> = [
  ["GRPO", plain, sequenceMean(), -0.0368630672],
  ["DAPO and BNPO", plain, tokenMean(), -0.2165924977],
  ["Dr.GRPO", plain, constantLength(4), -0.1353703111],
  ["LUSPO", plain, sequenceSum(), -0.5414812443],
  ["clip-higher over responses", higher, sequenceMean(), -0.0404301935],
  ["clip-higher over tokens", higher, tokenMean(), -0.2208730494],
  ["GSPO", geometricClip({ low: 0.2, high: 0.2 }), sequenceMean(), -0.0220647208],
  ["GSPO-token", geometricTokenClip({ low: 0.2, high: 0.2 }), sequenceMean(), -0.0220647208],
  ["CISPO with a cap of 5", cispo({ least: 0, cap: 5 }), tokenMean(), 0.2637201963],
  ["CISPO in [.8, 1.28]", cispo({ least: 0.8, cap: 1.28 }), tokenMean(), 0.3411079324],
  ["SAPO", sapo({ positive: 1, negative: 1.05 }), sequenceMean(), -0.0885763142],
  ["VESPO", vespo({ better: [2, 3], worse: [3, 2] }), tokenMean(), 0.5765551165],
  ["GMPO", gmpo({ clipRange: 0.4 }), sequenceMean(), -0.0220647208]
]

/** The weight of a token is no part of its gradient there: differences of the value are no reference. */
const detached = new Set(["CISPO with a cap of 5", "CISPO in [.8, 1.28]", "VESPO", "GSPO-token"])

describe("surrogates", () => {
  for (const [name, surrogate, aggregation, expected] of table) {
    onWasm(`${name} has the table's value`, () => {
      expectClose([lossAndGradients({ surrogate, aggregation }).value], [expected], 1e-6)
    })
    if (detached.has(name)) continue
    onWasm(`${name} has the gradient of its value`, () => {
      const { differences, gradient } = lossAndGradients({ surrogate, aggregation })
      expectClose(gradient, differences, 2e-3)
    })
  }

  onWasm("CISPO's gradient is −weight·A / tokens, the weight held", () => {
    const { gradient } = lossAndGradients({ surrogate: cispo({ least: 0.8, cap: 1.28 }) })
    // e^.2, 1, .8 for e^−.5; then A = −1 with e^−.1 and e^−.2; 5 tokens
    const weights = [Math.exp(0.2), 1, 0.8, -Math.exp(-0.1), -Math.exp(-0.2)]
    expectClose(
      gradient,
      weights.map((weight) => -weight / 5),
      1e-6
    )
  })

  onWasm(
    "GSPO-token has GSPO's gradient where a response has one advantage, and each token its own where it has not",
    () => {
      const options = { low: 0.2, high: 0.2 }
      const tokenwise = { surrogate: geometricTokenClip(options), aggregation: sequenceMean() }
      const [whole, own] = [{ ...tokenwise, surrogate: geometricClip(options) }, tokenwise].map(
        (loss) => lossAndGradients(loss).gradient
      )
      expectClose(own!, whole!, 1e-6)
      // ratio e^.1, mean of .5 and −.3; advantages 1 and −2, so −s/2 and 2s/2 apart, and not −s/2·(1 − 2)/2 each
      const apart = batchOf([2], { advantages: [1, -2], old: [-1.5, -0.7] })
      const s = Math.exp(0.1)
      expectClose(lossAndGradients(tokenwise, apart, [-1, -1]).gradient, [-s / 2, s], 1e-6)
    }
  )

  onWasm("VESPO's gradient is −φ·A / tokens, φ = 1.194282203 and .6827432253", () => {
    const { gradient } = lossAndGradients({ surrogate: vespo({ better: [2, 3], worse: [3, 2] }) })
    const phi = [1.194282203, 1.194282203, 1.194282203, -0.6827432253, -0.6827432253]
    expectClose(
      gradient,
      phi.map((weight) => -weight / 5),
      1e-6
    )
  })

  onWasm("REINFORCE's is −A·log π, with gradient −A / tokens", () => {
    const { gradient, value } = lossAndGradients({ surrogate: logLikelihood() })
    // −(−1 − .5 − 2 + .7 + 1.2) / 5
    expectClose([value], [1.6 / 5], 1e-6)
    expectClose(gradient, [-0.2, -0.2, -0.2, 0.2, 0.2], 1e-6)
  })

  onWasm("clipping takes the gradient in two of the four quadrants", () => {
    // ratios e^.5 and e^−.5 with A = 1, then with A = −1
    const batch = batchOf([4], { advantages: [1, 1, -1, -1], old: [-1, -1, -1, -1] })
    const { gradient, value } = lossAndGradients({ surrogate: plain }, batch, [-0.5, -1.5, -0.5, -1.5])
    const [up, down] = [Math.exp(0.5), Math.exp(-0.5)]
    expectClose([value], [(-1.2 - down + up + 0.8) / 4], 1e-6)
    expectClose(gradient, [0, -down / 4, up / 4, 0], 1e-6)
  })

  onWasm("dual clip bounds the loss of a token that became likelier against its advantage", () => {
    const batch = batchOf([1], { advantages: [-1], old: [-2] })
    // log-ratio 1.5: e^1.5 = 4.4816890703 unbounded
    expectClose([lossAndGradients({ surrogate: plain }, batch, [-0.5]).value], [4.4816890703], 1e-6)
    const dual = clip({ low: 0.2, high: 0.2, dual: 3 })
    const { gradient, value } = lossAndGradients({ surrogate: dual }, batch, [-0.5])
    expectClose([value, ...gradient], [3, 0], 1e-6)
    // with a positive advantage it changes nothing
    expectClose([lossAndGradients({ surrogate: dual }).value], [-0.2165924977], 1e-6)
  })

  onWasm("RLOO's ratio is the product over the response", () => {
    const { differences, gradient, value } = lossAndGradients({
      surrogate: sequenceClip({ low: 0.2, high: 0.2 }),
      aggregation: sequenceMean()
    })
    // log-ratios sum to −.3 with A = 1 and to −.3 with A = −1: −e^−.3 and .8 (clipped)
    expectClose([value], [(-Math.exp(-0.3) + 0.8) / 2], 1e-6)
    expectClose(gradient, differences, 2e-3)
  })

  onWasm("GMPO holds a token that runs ahead of its advantage, and only that one", () => {
    const batch = batchOf([2], { advantages: [1, 1], old: [-2, -1] })
    const { gradient, value } = lossAndGradients(
      { surrogate: gmpo({ clipRange: 0.4 }), aggregation: sequenceMean() },
      batch,
      [-1, -2]
    )
    // log-ratios 1 → .4 and −1: −exp(−.3)
    expectClose([value, ...gradient], [-Math.exp(-0.3), 0, -Math.exp(-0.3) / 2], 1e-6)
  })

  for (const [name, surrogate, aggregation] of table) {
    onWasm(`${name} is finite, with finite gradients, 1000 nats from the old policy`, () => {
      const far = batchOf([2, 2], { advantages: [1, -1, 1, -1], old: [-1000, -1000, -0.1, -0.1] })
      const { gradient, value } = lossAndGradients({ surrogate, aggregation }, far, [-0.1, -0.1, -1000, -1000])
      for (const number of [value, ...gradient]) expect(Number.isFinite(number)).toBe(true)
    })
    onWasm(`${name} leaves no tensor behind`, () => {
      lossAndGradients({ surrogate, aggregation })
      const before = tf.memory().numTensors
      lossAndGradients({ surrogate, aggregation })
      expect(tf.memory().numTensors).toBe(before)
    })
  }

  onWasm("without old log-probs every ratio is 1 exactly, and the gradient is −A / tokens", () => {
    const fresh = { ...tableBatch(), oldLogProbs: undefined }
    const { gradient, value } = lossAndGradients({ surrogate: plain }, fresh)
    expect(value).toBe(Math.fround(-1 / 5))
    expectClose(gradient, [-0.2, -0.2, -0.2, 0.2, 0.2], 1e-7)
    expect(tableLogProbs).not.toEqual(tableOld)
  })
})
