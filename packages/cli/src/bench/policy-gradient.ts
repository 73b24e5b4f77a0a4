import { grpo, PromptData, type PromptUnit } from "@plumbline/algorithms"
import { batchSampler, byteTokenizer, Tokenizer } from "@plumbline/data"
import { type CausalLM, Policy } from "@plumbline/models"
import { Reward, type RewardRule } from "@plumbline/reward-model"
import { Generator, samplingOptions } from "@plumbline/rollout-generation"
import { philoxStream, tf } from "@plumbline/runtime"
import {
  adamw,
  agreeWithSampler,
  type Algorithm,
  applyStep,
  beginStep,
  type Dataset,
  type MicroBatch
} from "@plumbline/training"
import { Effect, Layer, Stream } from "effect"
import { remark } from "../terminal.ts"
import { randomModel } from "./random-model.ts"
import type { Shape } from "./shapes.ts"

export interface RolloutTask {
  readonly shape: Shape
  readonly prompts: number
  /** Responses to each prompt. */
  readonly samples: number
  /** Tokens of a prompt. */
  readonly prompt: number
  readonly newTokens: number
  /** Most tokens computed at once in the update. */
  readonly microBatchTokens: number
  readonly maxRows: number
  readonly activationCheckpointing: boolean
  /** Steps to time, after one to warm up. */
  readonly repeats: number
  readonly seed: number
}

/** Seconds of a step, and what they went into. */
export interface StepTimes {
  readonly total: number
  readonly generate: number
  readonly score: number
  readonly logProbs: number
  readonly update: number
  /** Advantages, rows, whatever is left. */
  readonly other: number
}

export interface RolloutMeasurement {
  readonly parameters: number
  readonly steps: ReadonlyArray<StepTimes>
  /** Of the last step. */
  readonly metrics: Readonly<Record<string, number>>
}

const ADAMW = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 }
const LEARNING_RATE = 1e-6

/** Times whole GRPO steps of the real algorithm: rollout, reward by a rule, update. */
export const measureGrpo = Effect.fnUntraced(function* (task: RolloutTask) {
  const { maxRows, newTokens, prompt, samples, seed, shape } = task
  const policy = yield* Effect.acquireRelease(
    Effect.sync(() => randomModel(shape, prompt + newTokens, seed)),
    ({ dispose }) => Effect.sync(dispose)
  )
  yield* agreeWithSampler(policy, remark)
  const algorithm = grpo({ samples, sampling: samplingOptions({ maxNewTokens: newTokens }), seed })
  const steps = yield* timedSteps(algorithm, policy, task).pipe(
    Effect.provide(Generator.layerModel(policy, engineOptions(task, maxRows))),
    Effect.provide([
      Layer.succeed(Policy, policy),
      Layer.succeed(PromptData, randomPrompts(task)),
      Layer.succeed(Tokenizer, { ...byteTokenizer({ specials: [] }), decode: (ids) => `${ids.length} random tokens` }),
      Reward.layerRules(evenTokens)
    ])
  )
  const measurement: RolloutMeasurement = {
    parameters: policy.variables.reduce((total, { size }) => total + size, 0),
    ...steps
  }
  return measurement
})

const engineOptions = ({ newTokens, prompt, prompts }: RolloutTask, maxRows: number) => ({
  maxRows,
  maxBatchTokens: 16_384,
  // a row keeps its context and a copy of its prompt's last page; prompts are kept once
  cacheTokens: maxRows * (prompt + newTokens + 32) + prompts * (prompt + 32)
})

/** The share of even token ids: something that a rule can say of random tokens. */
const evenTokens: RewardRule = {
  name: "even_tokens",
  score: ({ ids }) => ids.reduce((even, id) => even + (id % 2 === 0 ? 1 : 0), 0) / ids.length
}

const randomPrompts = ({ microBatchTokens, prompt, prompts, repeats, seed, shape }: RolloutTask) => {
  const { uint32 } = philoxStream(seed, "bench/prompts")
  const units = Array.from({ length: prompts * (repeats + 1) }, (_, row): PromptUnit => {
    const ids = Int32Array.from({ length: prompt }, (__, t) => uint32(row * prompt + t) % shape.vocabulary)
    return {
      row: { ids, lossMask: new Uint8Array(prompt), record: { kind: "ids", ids } },
      tokens: prompt,
      origin: `prompt ${row}`
    }
  })
  const data: Dataset<PromptUnit> = {
    units,
    heldOut: [],
    sampler: batchSampler({ rows: units.length, batchSize: prompts, seed, shuffle: false }),
    split: { tokens: microBatchTokens },
    layout: "packed",
    padId: 0
  }
  return data
}

const timedSteps = Effect.fnUntraced(function* <B extends MicroBatch, E, R>(
  algorithm: Algorithm<{ readonly policy: CausalLM }, B, E, R>,
  policy: CausalLM,
  { activationCheckpointing, repeats }: RolloutTask
) {
  const models = { policy: activationCheckpointing ? policy.recomputing() : policy }
  const optimizer = yield* Effect.acquireRelease(
    Effect.sync(() => adamw(models, ADAMW)),
    ({ dispose }) => Effect.sync(dispose)
  )
  const steps: Array<StepTimes> = []
  let metrics: Readonly<Record<string, number>> = {}
  let begun = performance.now()
  yield* algorithm.experience(0, repeats + 1).pipe(
    Stream.take(repeats + 1),
    Stream.runForEach(
      Effect.fnUntraced(function* (microBatches) {
        const updating = performance.now()
        const result = applyStep(optimizer, beginStep(algorithm.objective, models, microBatches), LEARNING_RATE, 1)
        settle(policy)
        const ended = performance.now()
        const told = yield* algorithm.afterStep!(steps.length + 1, models, result)
        metrics = { ...result.metrics, ...told }
        steps.push(timesOf(metrics, (ended - updating) / 1000, (performance.now() - begun) / 1000))
        begun = performance.now()
      })
    )
  )
  return { steps: steps.slice(1), metrics }
})

/** Waits for the device. */
const settle = (policy: CausalLM): void =>
  tf.tidy(() => void tf.slice(tf.reshape(policy.variables.at(-1)!, [-1]), 0, 1).dataSync())

const timesOf = (metrics: Readonly<Record<string, number>>, update: number, total: number): StepTimes => {
  const [generate, score, logProbs] = ["generate", "score", "log_probs"].map((name) => metrics[`timers/${name}`] ?? 0)
  const parts = { generate: generate!, score: score!, logProbs: logProbs!, update }
  return { total, ...parts, other: total - Object.values(parts).reduce((sum, part) => sum + part, 0) }
}
