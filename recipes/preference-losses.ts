/**
 * One loss of the preference family on the quickstart's tasks, from the SFT model that the quickstart left.
 *
 *   plumb run recipes/preference-losses.ts --model runs/quickstart/sft/final --loss kto
 *
 * The pairs are the quickstart's. Losses on responses judged one by one see each pair as two: desirable, undesirable. The
 * answers to 300 held-out prompts are sampled at temperature 1 and checked by code, before and after. The settings are the
 * quickstart's for DPO and not tuned for any loss: those whose gradient is large (SimPO, ORPO) want a smaller learning rate.
 *
 * Seen on 2 cores of a Xeon server CPU (wasm, one thread), 25 to 60 s a loss, seed 0:
 *
 *   loss     right answers      polite style       chosen side likelier
 *   (SFT)    53.7 %             51.3 %              68.0 %
 *   dpo      79.7 %             94.0 %             100.0 %
 *   ipo      63.0 %             91.7 %              98.3 %
 *   aot      79.0 %             93.7 %             100.0 %
 *   kto      80.0 %             94.7 %             100.0 %
 *   bco      81.0 %             94.3 %             100.0 %
 *   cpo      82.7 %             96.0 %             100.0 %
 *   simpo    25.0 %             94.7 %              98.7 %
 *   orpo     50.0 %             83.0 %             100.0 %
 */
import {
  aot,
  bco,
  cpo,
  dpo,
  ipo,
  kto,
  orpo,
  preference,
  PreferenceData,
  type PreferenceLoss,
  referenceFree,
  type ReferenceFreeLoss,
  ReferenceLogProbs,
  simpo,
  unpaired,
  UnpairedData,
  type UnpairedLoss
} from "@plumbline/algorithms"
import { loadTokenizer, Tokenizer, type TokenizerShape } from "@plumbline/data"
import { Policy, ReferencePolicy } from "@plumbline/models"
import {
  type Algorithm,
  type MicroBatch,
  needed,
  NonNegativeInt,
  option,
  Positive,
  PositiveInt,
  recipe,
  RunContext,
  runTraining,
  stage,
  type Trainable,
  TrainingOptions
} from "@plumbline/training"
import { Effect, Schema } from "effect"
import { join } from "node:path"
import { reportQuickstart } from "./quickstart-report.ts"
import { smallTasks } from "./small-tasks.ts"
import { writeJsonl } from "./write-jsonl.ts"

interface Setting extends TrainingOptions {
  readonly train: string
  readonly files: TokenizerShape["files"]
}

const run = <M extends Trainable, B extends MicroBatch, E, R>(algorithm: Algorithm<M, B, E, R>, setting: Setting) =>
  runTraining({ algorithm, options: setting, inputs: [setting.train], extraFiles: setting.files })

const onPairs = (loss: PreferenceLoss) => (setting: Setting) =>
  run(preference(loss), setting).pipe(
    Effect.provide(ReferenceLogProbs.layer),
    Effect.provide([PreferenceData.layerFiles(setting), ReferencePolicy.layerFrozen])
  )

/** Batches of as many pairs: each is two responses. */
const onJudged = (loss: UnpairedLoss) => (setting: Setting) =>
  run(unpaired(loss), setting).pipe(
    Effect.provide([
      UnpairedData.layerFiles({ ...setting, batchSize: 2 * setting.batchSize }),
      ReferencePolicy.layerFrozen
    ])
  )

const withoutReference = (loss: ReferenceFreeLoss) => (setting: Setting) =>
  run(referenceFree(loss), setting).pipe(Effect.provide(PreferenceData.layerFiles(setting)))

const losses = {
  dpo: onPairs(dpo({ beta: 0.1 })),
  ipo: onPairs(ipo({ beta: 0.1 })),
  aot: onPairs(aot({ beta: 0.1 })),
  kto: onJudged(kto({ beta: 0.1 })),
  bco: onJudged(bco({ beta: 0.1 })),
  cpo: withoutReference(cpo({ beta: 0.1 })),
  simpo: withoutReference(simpo({ beta: 2, margin: 1 })),
  orpo: withoutReference(orpo({ beta: 0.5 }))
}

const Params = Schema.Struct({
  model: needed(Schema.NonEmptyString, "folder of the quickstart's SFT model"),
  loss: option(Schema.Literals(Object.keys(losses) as ReadonlyArray<keyof typeof losses>), "kto", "the loss"),
  seed: option(NonNegativeInt, 0, "the quickstart's seed: its tasks, and the samples"),
  pairs: option(PositiveInt, 4000, "preference pairs"),
  heldOut: option(PositiveInt, 300, "held-out prompts, and as many held-out pairs"),
  steps: option(PositiveInt, 200, "optimizer steps of 32 pairs"),
  learningRate: option(Positive, 1e-4, "peak learning rate")
})

export default recipe({
  name: "preference-losses",
  params: Params,
  run: Effect.fnUntraced(function* ({ heldOut, learningRate, loss, model, pairs, seed, steps }) {
    const { output } = yield* RunContext
    // the draws of a kind of data do not depend on how many demonstrations there are
    const tasks = smallTasks({ seed, demonstrations: 0, pairs, heldOut })
    const train = yield* writeJsonl(join(output, "data", "pairs.jsonl"), tasks.pairs)
    const tokenizer = yield* loadTokenizer(model)
    const options = Schema.decodeSync(TrainingOptions)({
      seed,
      batchSize: 32,
      lrSchedule: "cosine",
      warmupSteps: 20,
      adamBeta2: 0.98,
      maxSteps: steps,
      learningRate,
      saveEvery: 100
    })
    const result = yield* losses[loss]({ ...options, train, files: tokenizer.files }).pipe(
      Effect.provide([Policy.layerFromFolder(model), Tokenizer.layer(tokenizer)]),
      (training) => stage(loss, training)
    )
    if (result.status === "stopped") return
    yield* reportQuickstart({
      method: loss,
      run: join(output, loss),
      sftModel: model,
      tokenizer,
      tasks,
      step: steps,
      seed
    })
  })
})
