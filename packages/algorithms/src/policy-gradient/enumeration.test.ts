import type { CausalLM } from "@plumbline/models"
import { k1, k2, k3 } from "@plumbline/numerics"
import { tf, type Tensor, type Tensor1D } from "@plumbline/runtime"
import { describe } from "vitest"
import { batchOf, plainLoss } from "../testing/policy-gradient-case.ts"
import { expectClose, onWasm } from "../testing/preference-case.ts"
import type { Advantage, RewardedResponses } from "./advantages/advantage.ts"
import { batchBaseline, greedyBaseline, lengthWeightedBaseline } from "./advantages/baselines.ts"
import { bestOfGroup } from "./advantages/best-of-group.ts"
import { groupNormalized } from "./advantages/group-normalized.ts"
import { leaveOneOut } from "./advantages/leave-one-out.ts"
import { policyGradientObjective, type PolicyGradientLoss } from "./policy-gradient-objective.ts"
import { logLikelihood } from "./surrogates/likelihood.ts"

/*
 * One token of three, whose logits are the parameters, and a reward for each: every group of two that can be drawn is
 * drawn, and its gradient weighed by its probability. So the expectation is exact, and can be held against calculus:
 * ∂p_j/∂θ_k = p_j·(1[j = k] − p_k).
 */
const logits = [0.3, -0.5, 0.1]
const rewards = [1, 0, 0.4]
const referenceProbs = [0.2, 0.5, 0.3]
const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0)
const probs = logits.map((logit) => Math.exp(logit) / total)
const logProb = (token: number) => Math.log(probs[token]!)
const logReference = (token: number) => Math.log(referenceProbs[token]!)

/** ∂/∂θ of Σ_j p_j·f_j with f constant. */
const gradientOfMean = (f: ReadonlyArray<number>): ReadonlyArray<number> => {
  const mean = f.reduce((sum, value, j) => sum + probs[j]! * value, 0)
  return f.map((value, k) => probs[k]! * (value - mean))
}
const scaled = (gradient: ReadonlyArray<number>, by: number) => gradient.map((value) => by * value)
/** The gradient of KL(π ‖ π_ref) is that of Σ p·log(p/ref) with the logarithm held: the rest sums to 0. */
const klGradient = gradientOfMean([0, 1, 2].map((j) => logProb(j) - logReference(j)))

const policyAt = (theta: Tensor1D, tokens: ReadonlyArray<number>): CausalLM => {
  const picked = tf.matMul(tf.oneHot(tf.tensor1d([...tokens], "int32"), 3), tf.reshape(tf.logSoftmax(theta), [3, 1]))
  const logProbs = tf.reshape(picked, [-1]) as Tensor1D
  return {
    tokenLogProbs: () => ({ logProbs, entropy: tf.zerosLike(logProbs), correct: tf.zerosLike(logProbs) })
  } as never
}

interface Estimate {
  readonly advantage: Advantage
  readonly loss?: Partial<PolicyGradientLoss>
  /** Added to each token's reward. */
  readonly penalty?: (token: number) => number
  readonly klCoefficient?: number
}

const zero: Advantage = {
  name: "zero",
  options: {},
  of: ({ masks }) => ({ tokens: masks.map(() => new Float64Array(1)) })
}

const responsesOf = (tokens: ReadonlyArray<number>, penalty: Estimate["penalty"]): RewardedResponses => ({
  groups: Int32Array.from(tokens, () => 0),
  rewards: Float64Array.from(tokens, (token) => rewards[token]!),
  parts: {},
  masks: tokens.map(() => Uint8Array.of(1)),
  ended: Uint8Array.from(tokens, () => 1),
  tokenRewards: penalty && tokens.map((token) => Float64Array.of(penalty(token))),
  // the likeliest token is the first
  greedyRewards: Float64Array.from(tokens, () => rewards[0]!)
})

/** Expected gradient of the loss over all groups of two. */
const expectedGradient = ({ advantage, klCoefficient = 0, loss, penalty }: Estimate): ReadonlyArray<number> => {
  const objective = policyGradientObjective({ ...plainLoss, ...loss })
  const sum = [0, 0, 0]
  for (const tokens of [0, 1, 2].flatMap((a) => [0, 1, 2].map((b) => [a, b] as const))) {
    const weight = probs[tokens[0]]! * probs[tokens[1]]!
    const advantages = advantage.of(responsesOf(tokens, penalty)).tokens.map((row) => row[0]!)
    const reference = tokens.map(logReference)
    const batch = batchOf([1, 1], { advantages, reference, klCoefficient })
    const gradient = tf.tidy(() => {
      const value = (theta: Tensor) => {
        const { terms } = objective.loss({ policy: policyAt(theta as Tensor1D, tokens) }, batch)
        return tf.div(tf.sum(terms[0]!.values), 2)
      }
      return tf.grad(value)(tf.tensor1d(logits)).dataSync()
    })
    gradient.forEach((value, k) => (sum[k]! += weight * value))
  }
  return sum
}

describe("expected gradients over a vocabulary of three", () => {
  const ascent = gradientOfMean(rewards)
  const loo = leaveOneOut({ endedOnly: false, scale: false })

  const estimators: ReadonlyArray<readonly [string, Estimate, ReadonlyArray<number>]> = [
    ["RLOO is unbiased", { advantage: loo }, scaled(ascent, -1)],
    ["with REINFORCE's loss, too", { advantage: loo, loss: { surrogate: logLikelihood() } }, scaled(ascent, -1)],
    ["ReMax is unbiased", { advantage: greedyBaseline() }, scaled(ascent, -1)],
    ["Dr.GRPO is (G − 1)/G of it", { advantage: groupNormalized({ scale: "none" }) }, scaled(ascent, -1 / 2)],
    ["the batch mean's is (N − 1)/N of it", { advantage: batchBaseline() }, scaled(ascent, -1 / 2)],
    ["OPO's, at equal lengths, as well", { advantage: lengthWeightedBaseline() }, scaled(ascent, -1 / 2)]
  ]
  for (const [name, estimate, expected] of estimators) {
    onWasm(name, () => expectClose(expectedGradient(estimate), expected, 1e-6))
  }

  /** Probability that another draw has less reward than token j, minus that it has more. */
  const ahead = rewards.map((own) => rewards.reduce((sum, other, j) => sum + probs[j]! * Math.sign(own - other), 0))
  const worse = rewards.map((own) => rewards.reduce((sum, other, j) => sum + (other < own ? probs[j]! : 0), 0))

  onWasm("GRPO of two looks at the order of rewards alone: ±1/√2, whatever the distance", () => {
    // A = ±(d/2) / (d/√2 + 10⁻⁴), 1/√2 but for 10⁻⁴/d
    const gradient = expectedGradient({ advantage: groupNormalized({ scale: "group" }) })
    expectClose(gradient, scaled(gradientOfMean(ahead), -Math.SQRT1_2), 1e-4)
  })

  onWasm("pass@k of two raises the better one's log-likelihood by √2", () => {
    // each of two orders has the best one, at p_j·P(the other is worse); half of the mean over two responses
    expectClose(expectedGradient({ advantage: bestOfGroup() }), scaled(gradientOfMean(worse), -Math.SQRT2), 1e-4)
  })

  const inLoss = (estimate: typeof k1, weighedByRatio = false): Estimate => ({
    advantage: zero,
    loss: { klInLoss: { estimator: { name: "k", estimate }, weighedByRatio } },
    klCoefficient: 1
  })
  const forwardKl = probs.map((p, k) => p - referenceProbs[k]!)

  onWasm("k1 in the reward has the gradient of the KL", () => {
    const penalty = (token: number) => -0.3 * (logProb(token) - logReference(token))
    const expected = ascent.map((value, k) => -(value - 0.3 * klGradient[k]!))
    expectClose(expectedGradient({ advantage: loo, penalty }), expected, 1e-6)
  })
  onWasm("k1 in the loss has none at all", () => expectClose(expectedGradient(inLoss(k1)), [0, 0, 0], 1e-6))
  onWasm("k2 in the loss has that of the KL", () => expectClose(expectedGradient(inLoss(k2)), klGradient, 1e-6))
  onWasm("k3 in the loss has that of the other KL, from the reference", () => {
    expectClose(expectedGradient(inLoss(k3)), forwardKl, 1e-6)
  })
  onWasm("k3 weighed by the ratio has that of the KL", () => {
    expectClose(expectedGradient(inLoss(k3, true)), klGradient, 1e-6)
  })
})
