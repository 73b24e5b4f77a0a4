/**
 * Constitutional AI on a constitution that code can check: "the answer is a whole polite sentence". The model answers and
 * learns; a helper of code criticizes, revises and compares by the principle, as a better model would.
 *
 *   plumb run recipes/constitution.ts --model runs/quickstart/sft/final [--stage preferences] [--control true] [--seed 0]
 *
 *   stage         learns from                                                  control
 *   revisions     SFT on its own answers, revised by the principle              answers left as they are
 *   preferences   DPO on pairs of its own answers, compared by the principle    compared by dice
 *
 * It starts from the quickstart's SFT model and answers 300 prompts that no training data has, at temperature 1.
 *
 * Seen on 2 cores of a busy Xeon server CPU (wasm, one thread; 1 to 3 minutes a run), polite style, seed 0 / 1 / 2:
 *
 *   start         51.3 / 41.0 / 49.7 %
 *   revisions     97.0 / 97.7 / 97.7 %   control 47.7 / 39.3 / 49.3 %
 *   preferences   89.3 / 90.0 / 93.0 %   control 51.3 / 45.0 / 59.7 %
 *
 * and right answers 53.7 / 52.7 / 47.3 % at the start, 54.3 / 51.7 / 50.0 % after revisions, 52.0 / 48.7 / 46.3 % after preferences.
 */
import {
  aiPreferences,
  critiqueAndRevise,
  dpo,
  preference,
  PreferenceData,
  ReferenceLogProbs,
  sft,
  SupervisedData
} from "@plumbline/algorithms"
import { loadTokenizer, Tokenizer, type TokenizerShape } from "@plumbline/data"
import { loadCausalLM, Policy, ReferencePolicy } from "@plumbline/models"
import { Generator } from "@plumbline/rollout-generation"
import {
  needed,
  NonNegativeInt,
  option,
  PositiveInt,
  recipe,
  RunContext,
  runTraining,
  stage,
  trainingOptions
} from "@plumbline/training"
import { Console, Effect, Schema } from "effect"
import { join } from "node:path"
import { answerTasks, share } from "./held-out.ts"
import { comparer, helped, numbered, PREFERENCE, PRINCIPLE, renderChat, reviser } from "./polite-constitution.ts"
import { type SmallTasks, smallTasks } from "./small-tasks.ts"
import { writeJsonl } from "./write-jsonl.ts"

const Params = Schema.Struct({
  model: needed(Schema.NonEmptyString, "folder of the quickstart's SFT model"),
  stage: option(Schema.Literals(["revisions", "preferences"]), "revisions", "what the model learns from"),
  control: option(Schema.Boolean, false, "run what must not make the model polite instead"),
  seed: option(NonNegativeInt, 0, "the quickstart's seed: its tasks, and the samples"),
  prompts: option(PositiveInt, 2000, "prompts that the model answers to learn"),
  heldOut: option(PositiveInt, 300, "held-out prompts"),
  steps: option(PositiveInt, 150, "optimizer steps of 32 rows or pairs")
})
type Params = typeof Params.Type

const SAMPLING = { maxNewTokens: 40 }
const TEMPERATURES = [0.5, 1, 1, 1.5]

export default recipe({
  name: "constitution",
  params: Params,
  run: Effect.fnUntraced(function* (params) {
    const { control, heldOut, model, prompts, seed } = params
    const { output } = yield* RunContext
    const tasks = smallTasks({ seed, demonstrations: 1, pairs: prompts, heldOut })
    const tokenizer = { ...(yield* loadTokenizer(model)), renderChat }
    const rows = yield* writtenRows(params, tokenizer, tasks)
    const train = yield* writeJsonl(join(output, "data", "train.jsonl"), rows)
    const result = yield* training(params, tokenizer, train)
    if (result.status === "stopped") return
    const before = yield* measured(model, tasks, seed)
    const after = yield* measured(join(output, params.stage, "final"), tasks, seed)
    yield* Console.log(`\n${control ? "control of " : ""}${params.stage}, seed ${seed}, ${rows.length} rows`)
    yield* Console.log(`right answers, polite style: before ${percent(before)}   after ${percent(after)}`)
  })
})

/** What the model and the helper make of the prompts. */
const writtenRows = Effect.fnUntraced(function* (
  { control, model: folder, seed, stage: kind }: Params,
  tokenizer: TokenizerShape,
  { pairs }: SmallTasks
) {
  const model = yield* opened(folder)
  const questions = numbered(pairs.map(({ prompt }) => prompt))
  return yield* Effect.gen(function* () {
    const engine = yield* Generator
    if (kind === "revisions") {
      const generator = helped(engine, tokenizer, reviser(control))
      const revised = yield* critiqueAndRevise(questions, [PRINCIPLE], { seed, sampling: SAMPLING }).pipe(
        Effect.provideService(Generator, generator)
      )
      return revised.map(({ messages, revision }) => ({ prompt: messages[0]!.content, completion: revision }))
    }
    const judge = helped(engine, tokenizer, comparer(control, seed))
    const options = { seed, sampling: SAMPLING, temperatures: TEMPERATURES, judge }
    const compared = yield* aiPreferences(questions, [PREFERENCE], options)
    return compared.map(({ chosen, messages, rejected }) => ({ prompt: messages[0]!.content, chosen, rejected }))
  }).pipe(Effect.provide([Generator.layerModel(model, { maxRows: 128 }), Tokenizer.layer(tokenizer)]))
}, Effect.scoped)

const training = ({ model, seed, stage: kind, steps }: Params, tokenizer: TokenizerShape, train: string) => {
  const options = trainingOptions({
    seed,
    batchSize: 32,
    lrSchedule: "cosine",
    warmupSteps: 5,
    adamBeta2: 0.98,
    maxSteps: steps,
    learningRate: kind === "revisions" ? 5e-4 : 1e-4
  })
  const shared = { options, inputs: [train], extraFiles: tokenizer.files }
  const start = Effect.provide([Policy.layerFromFolder(model), Tokenizer.layer(tokenizer)])
  const imitated = runTraining({ ...shared, algorithm: sft() }).pipe(
    Effect.provide(SupervisedData.layerFiles({ ...options, train })),
    start
  )
  const preferred = runTraining({ ...shared, algorithm: preference(dpo({ beta: 0.1 })) }).pipe(
    Effect.provide(ReferenceLogProbs.layer),
    Effect.provide([PreferenceData.layerFiles({ ...options, train }), ReferencePolicy.layerFromFolder(model)]),
    start
  )
  return stage(kind, kind === "revisions" ? imitated : preferred)
}

const opened = (folder: string) =>
  Effect.acquireRelease(loadCausalLM(folder, { name: folder, trainable: false }), ({ dispose }) => Effect.sync(dispose))

/** Shares of right and of polite answers. */
const measured = Effect.fnUntraced(function* (folder: string, { heldOutTasks }: SmallTasks, seed: number) {
  const answers = yield* answerTasks(yield* opened(folder), yield* loadTokenizer(folder), heldOutTasks, seed)
  return [share(answers.map(({ correct }) => correct)), share(answers.map(({ polite }) => polite))]
}, Effect.scoped)

const percent = (shares: ReadonlyArray<number>): string => shares.map((x) => `${(100 * x).toFixed(1)} %`).join(", ")
