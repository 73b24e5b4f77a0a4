/**
 * Trains a model from scratch with the library alone, saves it, loads it again and lets it answer.
 *
 *   npx node examples/train-a-model.ts
 *
 * Prints, in 2 seconds:
 *
 *   loss 0.0103 after 120 steps
 *   foxes
 *   cities
 */
import { sft, SupervisedData } from "@plumbline/algorithms"
import { batchSampler, byteTokenizer, tokenizeCompletion, tokenizePrompt } from "@plumbline/data"
import { llama, loadCausalLM, Policy } from "@plumbline/models"
import { Generator, promptRequests, samplingOptions } from "@plumbline/rollout-generation"
import { runTraining, trainingOptions } from "@plumbline/training"
import { Console, Effect, Layer } from "effect"
import { join } from "node:path"
import { output, services } from "./services.ts"

const tokenizer = byteTokenizer({ specials: ["<|im_end|>"] })
const plurals = ["cat cats", "dog dogs", "bus buses", "fox foxes", "baby babies", "city cities", "leaf leaves"]

const units = plurals.map((line) => {
  const [one, many] = line.split(" ") as [string, string]
  const row = tokenizeCompletion(tokenizer, `one ${one}, two `, many)
  return { row, tokens: row.ids.length, origin: one }
})
const data = Layer.succeed(SupervisedData, {
  units,
  heldOut: [],
  sampler: batchSampler({ rows: units.length, batchSize: units.length, seed: 0, shuffle: true }),
  split: { count: units.length },
  layout: "packed",
  padId: tokenizer.padId
})

const table = { family: llama, vocabulary: 257, width: 48, layers: 2, heads: 4, mlpWidth: 96, maxPositions: 32 }
const policy = Policy.layerNew(table, 0)
const options = trainingOptions({ maxSteps: 120, learningRate: 5e-3 })

const program = Effect.gen(function* () {
  const { metrics } = yield* runTraining({ algorithm: sft(), options, extraFiles: tokenizer.files })
  yield* Console.log(`loss ${metrics["loss"]!.toFixed(4)} after ${options.maxSteps} steps`)
  const model = yield* loadCausalLM(join(output, "final"), { name: "trained", trainable: false })
  const prompts = ["one fox, two ", "one city, two "].map((text) => tokenizePrompt(tokenizer, text))
  const sampling = samplingOptions({ temperature: 0, maxNewTokens: 16, stopIds: [...tokenizer.stopIds] })
  const answers = Effect.flatMap(Generator, ({ generate }) => generate(promptRequests(prompts, { seed: 0, sampling })))
  for (const { responses } of yield* Effect.provide(answers, Generator.layerModel(model))) {
    yield* Console.log(tokenizer.decode(responses[0]!.responseIds, { skipSpecialTokens: true }))
  }
})

await program.pipe(Effect.provide([data, policy]), Effect.provide(services), Effect.runPromise)
