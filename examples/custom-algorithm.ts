/**
 * A whole algorithm of one's own: REINFORCE with the batch mean as baseline, teaching a new model to count upwards.
 * An algorithm is who is trained, where experience comes from, and the loss on it; the loop knows no more.
 *
 *   npx node examples/custom-algorithm.ts
 *
 * Prints, in 2 seconds:
 *
 *   step 1: reward 0.103
 *   step 25: reward 0.969
 *   step 50: reward 1.000
 *   step 75: reward 0.989
 *   step 100: reward 0.998
 */
import { collate, type ScoredRows } from "@plumbline/data"
import { type CausalLM, llama, Policy } from "@plumbline/models"
import { sumByRow } from "@plumbline/numerics"
import { type GenerationError, Generator, promptRequests, samplingOptions } from "@plumbline/rollout-generation"
import { tf } from "@plumbline/runtime"
import { RunStore } from "@plumbline/store"
import { type Algorithm, type MicroBatch, runTraining, trainingOptions } from "@plumbline/training"
import { Console, Effect, Layer, Stream } from "effect"
import { output, services } from "./services.ts"

interface Rollouts extends MicroBatch {
  readonly rows: ScoredRows
  /** [R] share of the tokens that are one more than the token before */
  readonly rewards: Float32Array
}

const sampling = samplingOptions({ maxNewTokens: 7 })

/** 64 responses to the prompt [0], sampled from the policy as it is at this step. */
const rollouts = Effect.fn("rollouts")(function* (step: number) {
  const generator = yield* Generator
  const [group] = yield* generator.generate(promptRequests([Int32Array.of(0)], { seed: step, samples: 64, sampling }))
  const ids = group!.responses.map(({ responseIds }) => Int32Array.of(0, ...responseIds))
  const lossMask = Uint8Array.of(0, 1, 1, 1, 1, 1, 1, 1)
  const batch: Rollouts = {
    rows: collate(
      ids.map((row) => ({ ids: row, lossMask })),
      { layout: "packed", padId: 0 }
    ),
    rewards: Float32Array.from(ids, (row) => row.filter((id, t) => t > 0 && id === row[t - 1]! + 1).length / 7),
    tokens: 64 * 8,
    origins: ids.map((_, i) => `rollout ${step}/${i}`)
  }
  return batch
})

const reinforce: Algorithm<{ readonly policy: CausalLM }, Rollouts, GenerationError, Policy | Generator> = {
  name: "reinforce",
  config: { baseline: "batch mean" },
  trainable: Effect.map(Policy, (policy) => ({ policy })),
  stepsPerEpoch: Effect.succeed(1),
  experience: (position) =>
    Stream.iterate(position, (step) => step + 1).pipe(
      Stream.mapEffect((step) => Effect.map(rollouts(step), (batch) => [batch]))
    ),
  objective: {
    counts: ({ origins }) => ({ sequence: origins.length }),
    // L = −Σ_rows (reward − mean reward) · log π(response) / rows
    loss: ({ policy }, { origins, rewards, rows }) => {
      const logProbs = sumByRow(policy.tokenLogProbs(rows).logProbs, rows.scored.rows, origins.length)
      const reward = tf.tensor1d(rewards)
      const advantages = tf.sub(reward, tf.mean(reward))
      const perRow = (values: typeof logProbs) => ({ unit: "sequence", values })
      return { terms: [perRow(tf.neg(tf.mul(advantages, logProbs)))], metrics: { reward: perRow(reward) } }
    }
  }
}

const table = { family: llama, vocabulary: 8, width: 32, layers: 2, heads: 4, mlpWidth: 64, maxPositions: 8 }
const policy = Policy.layerNew(table, 0)
const options = trainingOptions({ maxSteps: 100, learningRate: 1e-2 })

const program = Effect.gen(function* () {
  yield* runTraining({ algorithm: reinforce, options })
  for (const { metrics, step } of yield* (yield* RunStore).metrics(output, ["reward"])) {
    if (step === 1 || step % 25 === 0) yield* Console.log(`step ${step}: reward ${metrics["reward"]!.toFixed(3)}`)
  }
})

const generator = Generator.layerEngine({ maxRows: 64 })
await program.pipe(
  Effect.provide(generator.pipe(Layer.provideMerge(policy))),
  Effect.provide(services),
  Effect.runPromise
)
