import { dpo, negativeLogLikelihood, preferenceObjective, responseLogProbs } from "@plumbline/algorithms"
import { type CausalLM, flopsPerToken, freeze } from "@plumbline/models"
import { adaptNew, lora } from "@plumbline/peft"
import type { ProcessesShape } from "@plumbline/runtime"
import { adamw, applyStep, beginStep, type MicroBatch, type Objective, shareWork } from "@plumbline/training"
import { type BatchNumbers, randomDemonstrations, randomPairs } from "./random-batches.ts"
import { randomModel, randomQuantisedModel } from "./random-model.ts"
import type { Shape } from "./shapes.ts"

/** What to time. */
export interface Task extends Omit<BatchNumbers, "vocabulary"> {
  readonly shape: Shape
  /** The reference policy's log-probs are made before the first step and not in every one (dpo). */
  readonly precomputeReference: boolean
  /** Rank of an adapter on every linear layer of a frozen model; undefined trains all weights. */
  readonly loraRank: number | undefined
  /** Linear layers of the model below the adapter are in 4 bits. */
  readonly quantised: boolean
  /** Blocks are computed again in the backward pass. */
  readonly activationCheckpointing: boolean
  /** Those that share each step. */
  readonly processes: ProcessesShape
}

/** Optimizer steps on one random batch. */
export interface Workload {
  readonly policy: CausalLM
  readonly tokensPerStep: number
  readonly flopsPerStep: number
  /** One optimizer step. @returns the loss before it */
  readonly step: () => number
  readonly dispose: () => void
}

const ADAMW = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01 }
const LEARNING_RATE = 1e-5
const MOST_GRADIENT_NORM = 1
/** A forward pass, of what forward and backward take together. */
const FORWARD = 1 / 3

type Policy = { readonly policy: CausalLM }

const optimizerSteps = <B extends MicroBatch>(
  objective: Objective<Policy, B>,
  models: Policy,
  microBatches: () => ReadonlyArray<B>,
  processes: ProcessesShape
) => {
  const optimizer = adamw(models, ADAMW, processes)
  optimizer.weights.divide()
  return {
    step: () => {
      const begun = beginStep(objective, models, microBatches(), { processes })
      return applyStep(optimizer, begun, LEARNING_RATE, MOST_GRADIENT_NORM).metrics["loss"]!
    },
    dispose: optimizer.dispose
  }
}

/** The policy as the objective sees it. */
const trained = (policy: CausalLM, { activationCheckpointing }: Task): Policy => ({
  policy: activationCheckpointing ? policy.recomputing() : policy
})

/** A model to train, whole or through an adapter. */
const trainee = ({ length, loraRank, processes, quantised, seed, shape }: Task) => {
  const base = quantised
    ? randomQuantisedModel(shape, length, seed)
    : randomModel(shape, length, seed, loraRank === undefined, processes)
  if (loraRank === undefined) return { policy: base, dispose: base.dispose, flops: flopsPerToken(base.config, length) }
  const { model: policy } = adaptNew(base, lora({ rank: loraRank }), seed)
  const adapter = policy.variables.reduce((total, { size }) => total + size, 0)
  return {
    policy,
    dispose: () => (policy.dispose(), base.dispose()),
    flops: flopsPerToken(base.config, length, true) + 6 * adapter
  }
}

/** Supervised fine-tuning of all tokens. */
export const supervisedWorkload = (task: Task): Workload => {
  const { batch, length, shape } = task
  const { dispose: release, flops, policy } = trainee(task)
  const batches = randomDemonstrations({ ...task, vocabulary: shape.vocabulary })
  const { dispose, step } = optimizerSteps(negativeLogLikelihood, trained(policy, task), () => batches, task.processes)
  const tokensPerStep = batch * length
  return {
    policy,
    tokensPerStep,
    flopsPerStep: tokensPerStep * flops,
    step,
    dispose: () => (dispose(), release())
  }
}

/** Direct preference optimization; the reference is the policy as it was at first. */
export const preferenceWorkload = (task: Task): Workload => {
  const { batch, length, precomputeReference, processes, shape } = task
  const { dispose: release, flops, policy } = trainee(task)
  const pairs = randomPairs({ ...task, vocabulary: shape.vocabulary })
  const reference = freeze(policy)
  const parts = pairs.map((rows) => [rows])
  const withReference = () =>
    shareWork(processes, parts, ([rows]) => ({ ...rows!, referenceLogProbs: responseLogProbs(reference, rows!) }))
  const precomputed = precomputeReference ? withReference() : undefined
  if (precomputeReference) reference.dispose()
  const forward = FORWARD * flopsPerToken(policy.config, length)
  const objective = preferenceObjective(dpo({ beta: 0.1 }))
  const batches = () => precomputed ?? withReference()
  const { dispose, step } = optimizerSteps(objective, trained(policy, task), batches, processes)
  const tokensPerStep = 2 * batch * length
  return {
    policy,
    tokensPerStep,
    flopsPerStep: tokensPerStep * (flops + (precomputeReference ? 0 : forward)),
    step,
    dispose: () => (dispose(), reference.dispose(), release())
  }
}
