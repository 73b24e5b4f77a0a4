/**
 * A model is made, taught and aligned in front of you: a two-block Llama of 265,000 weights, bytes for tokens.
 *
 *   npm run quickstart          (plumb run recipes/quickstart.ts [--seed 1] [--output runs/another])
 *
 * 1. SFT on 20,000 demonstrations of five short tasks; 30 % of the answers are wrong and half of them curt.
 * 2. DPO on 4,000 pairs that prefer right answers in a polite sentence, against the frozen SFT model.
 * 3. Both models answer 300 held-out prompts, sampled at temperature 1, and code checks the answers.
 *
 * Seen on 2 cores of a server CPU (wasm, one thread), 90 to 124 seconds a seed, SFT → SFT + DPO on held-out prompts:
 *
 *   seed   right answers      polite style       chosen side likelier
 *   0      53.7 → 79.7 %      51.3 → 94.0 %      68.0 → 100.0 %
 *   1      52.7 → 78.0 %      41.0 → 93.7 %      66.7 →  99.7 %
 *   2      47.3 → 73.3 %      49.7 → 94.3 %      69.0 →  99.3 %
 */
import { dpo, preference, PreferenceData, ReferenceLogProbs, sft, SupervisedData } from "@plumbline/algorithms"
import { byteTokenizer, CHATML_SPECIALS, Tokenizer } from "@plumbline/data"
import { type DecoderTable, llama, Policy, ReferencePolicy } from "@plumbline/models"
import {
  NonNegativeInt,
  option,
  PositiveInt,
  recipe,
  RunContext,
  runTraining,
  stage,
  trainingOptions
} from "@plumbline/training"
import { Effect, Schema } from "effect"
import { join } from "node:path"
import { reportQuickstart } from "./quickstart-report.ts"
import { smallTasks } from "./small-tasks.ts"
import { writeJsonl } from "./write-jsonl.ts"

const Params = Schema.Struct({
  seed: option(NonNegativeInt, 0, "seed of the tasks, the weights, the order of the data and the samples"),
  demonstrations: option(PositiveInt, 20_000, "demonstrations to imitate"),
  pairs: option(PositiveInt, 4000, "preference pairs"),
  heldOut: option(PositiveInt, 300, "held-out prompts, and as many held-out pairs"),
  width: option(PositiveInt, 96, "width of the model, a multiple of 12"),
  layers: option(PositiveInt, 2, "blocks of the model"),
  sftSteps: option(PositiveInt, 1400, "optimizer steps of supervised fine-tuning"),
  dpoSteps: option(PositiveInt, 200, "optimizer steps of DPO"),
  beta: option(Schema.Finite.check(Schema.isGreaterThan(0)), 0.1, "DPO's pull toward the SFT model")
})

export default recipe({
  name: "quickstart",
  params: Params,
  run: Effect.fnUntraced(function* ({ beta, dpoSteps, layers, seed, sftSteps, width, ...sizes }) {
    const { output } = yield* RunContext
    const tasks = smallTasks({ seed, ...sizes })
    const demonstrations = yield* writeJsonl(join(output, "data", "demonstrations.jsonl"), tasks.demonstrations)
    const pairs = yield* writeJsonl(join(output, "data", "pairs.jsonl"), tasks.pairs)
    const tokenizer = byteTokenizer({ specials: CHATML_SPECIALS })
    const table: DecoderTable = {
      family: llama,
      vocabulary: tokenizer.vocabSize,
      width,
      layers,
      heads: 6,
      mlpWidth: 3 * width,
      maxPositions: 96,
      tiedEmbeddings: true,
      settings: { initializer_range: 0.05, eos_token_id: tokenizer.eosId }
    }
    const shared = { seed, batchSize: 32, lrSchedule: "cosine", warmupSteps: 20, adamBeta2: 0.98 } as const

    const imitate = trainingOptions({ ...shared, maxSteps: sftSteps, learningRate: 3e-3, saveEvery: 200 })
    const imitated = yield* runTraining({
      algorithm: sft(),
      options: imitate,
      inputs: [demonstrations],
      extraFiles: tokenizer.files,
      highlights: ["mean_token_accuracy"]
    }).pipe(
      Effect.provide(SupervisedData.layerFiles({ ...imitate, train: demonstrations })),
      Effect.provide([Policy.layerNew(table, seed), Tokenizer.layer(tokenizer)]),
      (training) => stage("sft", training)
    )
    if (imitated.status === "stopped") return

    const sftModel = join(output, "sft", "final")
    const align = trainingOptions({ ...shared, maxSteps: dpoSteps, learningRate: 1e-4, saveEvery: 100 })
    const aligned = yield* runTraining({
      algorithm: preference(dpo({ beta })),
      options: align,
      inputs: [pairs, join(sftModel, "model.safetensors")],
      extraFiles: tokenizer.files,
      highlights: ["rewards/accuracies", "rewards/margins"]
    }).pipe(
      Effect.provide(ReferenceLogProbs.layer),
      Effect.provide([
        PreferenceData.layerFiles({ ...align, train: pairs }),
        ReferencePolicy.layerFromFolder(sftModel)
      ]),
      Effect.provide([Policy.layerFromFolder(sftModel), Tokenizer.layer(tokenizer)]),
      (training) => stage("dpo", training)
    )
    if (aligned.status === "stopped") return

    yield* reportQuickstart({
      method: "DPO",
      run: join(output, "dpo"),
      sftModel,
      tokenizer,
      tasks,
      step: dpoSteps,
      seed
    })
  })
})
