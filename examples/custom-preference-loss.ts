/** A preference loss of one's own is a value: nothing to register, no class to extend. `npx node examples/custom-preference-loss.ts` */
import { preference, PreferenceData, type PreferenceLoss, ReferenceLogProbs } from "@plumbline/algorithms"
import { byteTokenizer, Tokenizer } from "@plumbline/data"
import { llama, Policy, ReferencePolicy } from "@plumbline/models"
import { tf, type Tensor1D } from "@plumbline/runtime"
import { runTraining, trainingOptions } from "@plumbline/training"
import { Effect } from "effect"
import { services } from "./services.ts"

/** Squared hinge, L = max(0, 1 − β·h)², h = logRatio(chosen) − logRatio(rejected). @see https://arxiv.org/abs/2402.05749 */
const squaredHinge = ({ beta }: { readonly beta: number }): PreferenceLoss => ({
  name: "squared-hinge",
  options: { beta },
  beta,
  perPair: ({ chosen, rejected }) => tf.square(tf.relu(tf.sub<Tensor1D>(1, tf.mul(beta, tf.sub(chosen, rejected)))))
})

const options = trainingOptions({ maxSteps: 40, learningRate: 1e-3, batchSize: 4 })
const table = { family: llama, vocabulary: 257, width: 48, layers: 2, heads: 4, mlpWidth: 96, maxPositions: 32 }
const { metrics } = await runTraining({ algorithm: preference(squaredHinge({ beta: 0.1 })), options }).pipe(
  Effect.provide(ReferenceLogProbs.layer),
  Effect.provide(PreferenceData.layerFiles({ ...options, train: `${import.meta.dirname}/drinks.jsonl` })),
  Effect.provide(ReferencePolicy.layerFrozen),
  Effect.provide([Policy.layerNew(table, 0), Tokenizer.layer(byteTokenizer({ specials: ["<|im_end|>"] }))]),
  Effect.provide(services),
  Effect.runPromise
)
console.log(`loss ${metrics["loss"]!.toFixed(4)}, margin ${metrics["rewards/margins"]!.toFixed(4)}`)
