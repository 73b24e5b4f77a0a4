/**
 * Meta-rewarding on the small tasks: a model that was taught, not too well, to answer, to rate answers and to tell which of two
 * ratings is better, goes on with nothing but prompts and its own judgement of both.
 *
 *   plumb run recipes/meta-rewarding.ts --model runs/quickstart/sft/final [--control true] [--seed 0]
 *
 * 1. taught: SFT on 4,000 demonstrations, 8,000 ratings and 4,000 comparisons of ratings; one in five says anything.
 * 2. meta-rewarding: three iterations on prompts alone. The control is asked about another answer.
 * 3. Both models answer 300 held-out prompts and rate 600 held-out answers, at temperature 1; code checks both.
 *
 * Seen on 2 cores of a busy Xeon server CPU (wasm, one thread; 2 to 10 minutes a run), seed 0 / 1 / 2:
 *
 *                    right answers          polite style           right ratings
 *   taught           52.0 / 51.7 / 44.7 %   45.3 / 40.0 / 41.7 %   50.0 / 53.7 / 50.3 %
 *   meta-rewarding   48.3 / 49.7 / 42.7 %   96.3 / 96.7 / 95.7 %   60.0 / 63.2 / 16.3 %
 *   control          53.7 / 48.0 / 45.0 %   34.7 / 36.0 / 53.3 %   46.2 / 48.2 / 42.7 %
 *
 * The judge can tell politeness, and correctness hardly: so it is politeness that the actor learns. With seed 2 the judge
 * gets lost in the third iteration, when every answer is polite already: a fifth of its ratings cannot be read from then on.
 */
import {
  dpo,
  metaRewarding,
  opponentEngine,
  PromptData,
  ReferenceLogProbs,
  sft,
  SupervisedData
} from "@plumbline/algorithms"
import { loadTokenizer, Tokenizer, type TokenizerShape } from "@plumbline/data"
import { Policy, ReferencePolicy } from "@plumbline/models"
import {
  needed,
  NonNegativeInt,
  option,
  Positive,
  PositiveInt,
  recipe,
  RunContext,
  runTraining,
  stage,
  trainingOptions
} from "@plumbline/training"
import { Console, Effect, Schema } from "effect"
import { join } from "node:path"
import { judgeWords, lessons, measured, renderChat } from "./judging-tasks.ts"
import { smallTasks } from "./small-tasks.ts"
import { writeJsonl } from "./write-jsonl.ts"

const Params = Schema.Struct({
  model: needed(Schema.NonEmptyString, "folder of the quickstart's SFT model"),
  control: option(Schema.Boolean, false, "ask the judge about another answer"),
  seed: option(NonNegativeInt, 0, "the quickstart's seed: its tasks, and the samples"),
  taughtSteps: option(PositiveInt, 600, "optimizer steps of SFT"),
  steps: option(PositiveInt, 120, "optimizer steps of 32 prompts"),
  learningRate: option(Positive, 2e-4, "peak learning rate of meta-rewarding"),
  prompts: option(PositiveInt, 4000, "prompts to answer and to judge"),
  heldOut: option(PositiveInt, 300, "held-out prompts, and as many held-out pairs of answers")
})
type Params = typeof Params.Type

const SHARED = { batchSize: 32, lrSchedule: "cosine", warmupSteps: 5, adamBeta2: 0.98 } as const

export default recipe({
  name: "meta-rewarding",
  params: Params,
  run: Effect.fnUntraced(function* (params) {
    const { control, heldOut, model, prompts, seed } = params
    const { output } = yield* RunContext
    const tasks = smallTasks({ seed, demonstrations: 4000, pairs: 4000 + prompts, heldOut })
    const tokenizer = { ...(yield* loadTokenizer(model)), renderChat }
    const taught = yield* writeJsonl(join(output, "data", "taught.jsonl"), lessons(tasks, 4000, seed))
    const asked = tasks.pairs.slice(4000).map(({ prompt }) => ({ prompt }))
    const train = yield* writeJsonl(join(output, "data", "prompts.jsonl"), asked)
    const first = yield* teach(params, tokenizer, taught)
    if (first.status === "stopped") return
    const start = join(output, "taught", "final")
    const result = yield* improve(params, tokenizer, start, train)
    if (result.status === "stopped") return
    const before = yield* measured(start, tokenizer, tasks, seed)
    const after = yield* measured(join(output, "meta-rewarding", "final"), tokenizer, tasks, seed)
    yield* Console.log(
      `\n${control ? "control of " : ""}meta-rewarding, seed ${seed}: right answers, polite style, right ratings`
    )
    yield* Console.log(`before ${before}   after ${after}`)
  })
})

const teach = ({ model, seed, taughtSteps }: Params, tokenizer: TokenizerShape, train: string) => {
  const options = trainingOptions({ ...SHARED, seed, maxSteps: taughtSteps, learningRate: 2e-3 })
  return runTraining({ algorithm: sft(), options, inputs: [train], extraFiles: tokenizer.files }).pipe(
    Effect.provide(SupervisedData.layerFiles({ ...options, train })),
    Effect.provide([Policy.layerFromFolder(model), Tokenizer.layer(tokenizer)]),
    (training) => stage("taught", training)
  )
}

const improve = (
  { control, learningRate, seed, steps }: Params,
  tokenizer: TokenizerShape,
  model: string,
  train: string
) => {
  const options = trainingOptions({ ...SHARED, seed, maxSteps: steps, learningRate })
  const algorithm = metaRewarding(dpo({ beta: 0.1 }), {
    seed,
    samples: 4,
    evaluations: 5,
    sampling: { maxNewTokens: 40 },
    judgeSampling: { maxNewTokens: 2 },
    iterationSteps: Math.ceil(steps / 3),
    lengthControl: 0,
    metaShare: 0.25,
    ...judgeWords(control)
  })
  return runTraining({ algorithm, options, inputs: [train], extraFiles: tokenizer.files }).pipe(
    Effect.provide([ReferenceLogProbs.layer, opponentEngine({ maxRows: 256 })]),
    Effect.provide([PromptData.layerFiles({ ...options, train }), ReferencePolicy.layerMovable(model)]),
    Effect.provide([Policy.layerFromFolder(model), Tokenizer.layer(tokenizer)]),
    (training) => stage("meta-rewarding", training)
  )
}
