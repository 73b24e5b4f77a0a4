/**
 * A preference loss of one's own is a value: nothing to register, no class to extend.
 *
 *   npx node examples/custom-preference-loss.ts
 *
 * Prints, in 2 seconds:
 *
 *   step 1: loss 1.0000, margin 0.0000
 *   step 40: loss 0.0000, margin 1.5192
 */
import { preference, PreferenceData, type PreferenceLoss, ReferenceLogProbs } from "@plumbline/algorithms"
import { batchSampler, byteTokenizer, tokenizePreference } from "@plumbline/data"
import { freeze, llama, Policy, ReferencePolicy } from "@plumbline/models"
import { tf, type Tensor1D } from "@plumbline/runtime"
import { RunStore } from "@plumbline/store"
import { runTraining, TrainingOptions } from "@plumbline/training"
import { Console, Effect, Layer, Schema } from "effect"
import { output, services } from "./services.ts"

/** Squared hinge, L = max(0, 1 − β·h)², h = logRatio(chosen) − logRatio(rejected). @see https://arxiv.org/abs/2402.05749 */
const squaredHinge = ({ beta }: { readonly beta: number }): PreferenceLoss => ({
  name: "squared-hinge",
  options: { beta },
  beta,
  perPair: ({ chosen, rejected }) => tf.square(tf.relu(tf.sub<Tensor1D>(1, tf.mul(beta, tf.sub(chosen, rejected)))))
})

const tokenizer = byteTokenizer({ specials: ["<|im_end|>"] })
const units = ["tea", "coffee", "water", "juice"].map((drink) => {
  const pair = { prompt: `${drink}? `, chosen: "Yes, please.", rejected: "No." }
  const row = tokenizePreference(tokenizer, pair)
  return { row, tokens: row.chosen.ids.length + row.rejected.ids.length, origin: drink }
})
const sampler = batchSampler({ rows: units.length, batchSize: units.length, seed: 0, shuffle: true })
const data = { units, heldOut: [], sampler, split: { count: 4 }, layout: "packed", padId: tokenizer.padId } as const

const table = { family: llama, vocabulary: 257, width: 48, layers: 2, heads: 4, mlpWidth: 96, maxPositions: 32 }
const policy = Policy.layerNew(table, 0)
const reference = Layer.effect(
  ReferencePolicy,
  Effect.map(Policy, (model) => freeze(model))
)

const options = Schema.decodeSync(TrainingOptions)({ maxSteps: 40, learningRate: 1e-3 })

const program = Effect.gen(function* () {
  yield* runTraining({ algorithm: preference(squaredHinge({ beta: 0.1 })), options })
  const rows = yield* Effect.flatMap(RunStore, (store) => store.metrics(output))
  for (const { metrics, step } of [rows[0]!, rows.at(-1)!]) {
    const [loss, margin] = [metrics["loss"]!, metrics["rewards/margins"]!]
    yield* Console.log(`step ${step}: loss ${loss.toFixed(4)}, margin ${margin.toFixed(4)}`)
  }
})

await program.pipe(
  Effect.provide(ReferenceLogProbs.layer),
  Effect.provide(reference.pipe(Layer.provideMerge(policy), Layer.merge(Layer.succeed(PreferenceData, data)))),
  Effect.provide(services),
  Effect.runPromise
)
