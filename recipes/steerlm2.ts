/**
 * SteerLM 2.0 on the small tasks: a model that SteerLM 1.0 steers writes several responses to each prompt, asked for the best grades,
 * and is drawn to those that the grader says have them, at the odds that the base model gives.
 *
 *   plumb run recipes/self-improvement.ts --model runs/quickstart/sft/final --method steerlm --output runs/steered
 *   plumb run recipes/steerlm2.ts --model runs/steered/steerlm/final --base runs/quickstart/sft/final [--control true] [--seed 0]
 *
 * Code stands for the attribute model: right or wrong, polite or curt. The control's grades are those of another response. Both
 * answer 300 prompts that no training data has, at temperature 1, asked for the best grades.
 *
 * Seen on 2 cores of a busy Xeon server CPU (wasm, one thread; 3 to 4 minutes a run), seed 0, right answers, polite style:
 *
 *   SteerLM 1.0    77.0 %, 99.3 %
 *   SteerLM 2.0    79.3 %, 98.7 %
 *   control        69.7 %, 97.3 %
 */
import {
  attributeLabel,
  gradeLogProb,
  labelIds,
  labelled,
  rowLogProbs,
  steerLm2,
  WeightedResponses
} from "@plumbline/algorithms"
import { loadTokenizer, Tokenizer, tokenizeCompletion, tokenizePrompt, type TokenizerShape } from "@plumbline/data"
import { type CausalLM, loadCausalLM, Policy } from "@plumbline/models"
import { Generator, promptRequests, responseText, samplingOptions } from "@plumbline/rollout-generation"
import { philoxStream } from "@plumbline/runtime"
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
import { answerTasks, share } from "./held-out.ts"
import { GRADES } from "./self-improvement-methods.ts"
import { type Pair, readResponse, smallTasks, type Task } from "./small-tasks.ts"
import { writeJsonl } from "./write-jsonl.ts"

const Params = Schema.Struct({
  model: needed(Schema.NonEmptyString, "folder of a model that SteerLM 1.0 has made"),
  base: needed(Schema.NonEmptyString, "folder of the quickstart's SFT model, which knows no grades"),
  control: option(Schema.Boolean, false, "grades of other responses instead"),
  seed: option(NonNegativeInt, 0, "the quickstart's seed: its tasks, and the samples"),
  prompts: option(PositiveInt, 1600, "prompts to answer"),
  samples: option(PositiveInt, 6, "responses to each"),
  maxNewTokens: option(PositiveInt, 40, "most tokens of a response"),
  heldOut: option(PositiveInt, 300, "held-out prompts"),
  steps: option(PositiveInt, 100, "optimizer steps of 16 prompts"),
  learningRate: option(Positive, 2e-4, "peak learning rate")
})
type Params = typeof Params.Type

/** The best grades, and how far a grade is from what the grader sees. */
const BEST = { right: 4, polite: 4 }
const GRADER = { max: 4, spread: 1 }
const LABEL = attributeLabel(GRADES, BEST)

export default recipe({
  name: "steerlm2",
  params: Params,
  run: Effect.fnUntraced(function* (params) {
    const { control, heldOut, learningRate, model, prompts, seed, steps } = params
    const { output } = yield* RunContext
    const { heldOutTasks, pairs } = smallTasks({ seed, demonstrations: 0, pairs: prompts, heldOut })
    const tokenizer = yield* loadTokenizer(model)
    const train = yield* writeJsonl(
      join(output, "data", "responses.jsonl"),
      yield* weighedRows(params, tokenizer, pairs).pipe(Effect.scoped)
    )
    const schedule = { lrSchedule: "cosine", warmupSteps: 5, adamBeta2: 0.98 } as const
    const options = trainingOptions({
      ...schedule,
      seed,
      batchSize: 16,
      maxSteps: steps,
      learningRate
    })
    const training = { algorithm: steerLm2(), options, inputs: [train], extraFiles: tokenizer.files }
    const result = yield* runTraining(training).pipe(
      Effect.provide(WeightedResponses.layerFiles({ ...options, train })),
      Effect.provide([Policy.layerFromFolder(model), Tokenizer.layer(tokenizer)]),
      (run) => stage("steerlm2", run)
    )
    if (result.status === "stopped") return
    const before = yield* measured(model, tokenizer, heldOutTasks, seed)
    const after = yield* measured(join(output, "steerlm2", "final"), tokenizer, heldOutTasks, seed)
    yield* Console.log(`\n${control ? "control of " : ""}steerlm2, seed ${seed}: right answers, polite style`)
    yield* Console.log(`before ${before}   after ${after}`)
  })
})

/** Responses of the steered model with the three log-probs that weigh them. */
const weighedRows = Effect.fnUntraced(function* (
  { base, control, maxNewTokens, model, samples, seed }: Params,
  tokenizer: TokenizerShape,
  pairs: ReadonlyArray<Pair>
) {
  const [steered, plain] = [yield* opened(model), yield* opened(base)]
  const label = labelIds(tokenizer, GRADES, BEST)
  const ids = pairs.map(({ prompt }) => Int32Array.from([...tokenizePrompt(tokenizer, prompt), ...label]))
  const sampling = samplingOptions({ maxNewTokens, stopIds: [...tokenizer.stopIds] })
  const groups = yield* Effect.flatMap(Generator, ({ generate }) =>
    generate(promptRequests(ids, { seed, samples, sampling }))
  ).pipe(Effect.provide(Generator.layerModel(steered, { maxRows: 256, tokenizer })))
  const answers = groups.flatMap(({ responses }, i) =>
    responses.map((response) => ({ pair: pairs[i]!, value: responseText(tokenizer, response) }))
  )
  const rows = answers.map(({ pair, value }) => tokenizeCompletion(tokenizer, pair.prompt, value))
  const budget = { budget: 4096, padId: tokenizer.padId }
  const ofBase = rowLogProbs(plain, rows, budget)
  const ofSteered = rowLogProbs(steered, rows.map((row) => labelled(row, label)), budget) // prettier-ignore
  const dice = philoxStream(seed, "other grades")
  const graded = (i: number) => answers[control ? Math.floor(dice.uniform(i) * answers.length) : i]!
  const responses = answers.map(({ value }, i) => ({
    from: "Assistant",
    value,
    "log(P(a|x,y))": gradeOdds(graded(i)),
    "log(P(y|x))": ofBase[i]!,
    "log(Q(y|a,x))": ofSteered[i]!
  }))
  return pairs.map(({ prompt }, i) => ({
    prompt,
    label: LABEL.trimEnd(),
    responses: responses.slice(i * samples, (i + 1) * samples)
  }))
})

/** log P(a|x,y) of the best grades, by code. */
const gradeOdds = ({ pair, value }: { readonly pair: Pair; readonly value: string }): number => {
  const { answer, polite } = readResponse(value)
  const right = answer === readResponse(pair.chosen).answer
  return [right, polite].reduce((sum, has) => sum + gradeLogProb(has ? 4 : 0, 4, GRADER), 0)
}

const opened = (folder: string) =>
  Effect.acquireRelease(loadCausalLM(folder, { name: folder, trainable: false }), ({ dispose }: CausalLM) =>
    Effect.sync(dispose)
  )

/** Shares of right and of polite answers, asked for both. */
const measured = Effect.fnUntraced(function* (
  folder: string,
  tokenizer: TokenizerShape,
  tasks: ReadonlyArray<Task>,
  seed: number
) {
  const asked = tasks.map((task) => ({ ...task, prompt: task.prompt + LABEL }))
  const answers = yield* answerTasks(yield* opened(folder), tokenizer, asked, seed)
  return [answers.map(({ correct }) => correct), answers.map(({ polite }) => polite)]
    .map((flags) => `${(100 * share(flags)).toFixed(1)} %`)
    .join(", ")
}, Effect.scoped)
