/**
 * Methods that improve a model with what it writes itself, or with what is known of responses, each beside a control that
 * must not improve it.
 *
 *   plumb run recipes/self-improvement.ts --model runs/quickstart/sft/final --method spin [--control true] [--seed 0]
 *
 *   method               learns from                                          control
 *   spin                 right and polite demonstrations, against its own     demonstrations as the SFT model's were
 *   rejection-sampling   the best of 4 responses, by a rule                   one of 4 at random
 *   online-dpo           the best against the worst of 4, by a rule           pairs at random
 *   xpo                  its response against the reference's, by a rule       pairs at random
 *   nash-md              winning against a mixture of itself and the reference preference at random
 *   a2po                 rewards over what its reference's responses are worth  rewards at random
 *   self-rewarding       the best against the worst of 4, by the last iteration's model              pairs at random
 *   steerlm              responses with grades, then asked for the best ones   grades shuffled
 *   distillation         what a teacher says of its own responses             a teacher of random weights
 *
 * All start from the quickstart's SFT model and answer 300 prompts that no training data has, at temperature 1.
 *
 * Seen on 2 cores of a Xeon server CPU (wasm, one thread; 1 to 3 minutes a run, on a busy machine), right answers, seed 0 / 1 / 2:
 *
 *   start                53.7 / 52.7 / 47.3 %
 *   spin                 62.3 / 61.7 / 54.3 %   control 53.7 / 53.3 / 45.3 %
 *   rejection-sampling   84.0 / 81.0 / 71.3 %   control 41.0 / 39.0 / 40.3 %
 *   online-dpo           63.0 / 63.0 / 56.7 %   control 54.3 / 50.7 / 46.3 %
 *   xpo                  74.3 / 74.3 / 66.3 %   control 50.3 / 53.0 / 49.3 % (150 steps)
 *   nash-md              82.7 / 78.0 / 76.0 %   control 43.3 / 46.7 / 42.3 % (150 steps)
 *   a2po                 84.0 / 81.3 / 77.7 %   control 48.3 / 48.3 / 18.7 % (150 steps)
 *   self-rewarding       63.3 / 63.7 / 57.0 %   control 54.3 / 52.7 / 47.0 %
 *   steerlm              77.0 / 77.7 / 80.3 %   control 43.3 / 34.7 / 33.0 %
 *   distillation         75.0 / 79.0 / 69.0 %   control 1.3 / 6.0 / 2.0 %
 */
import { attributeLabel } from "@plumbline/algorithms"
import { loadTokenizer } from "@plumbline/data"
import { loadCausalLM } from "@plumbline/models"
import { philoxStream } from "@plumbline/runtime"
import {
  needed,
  NonNegativeInt,
  option,
  optional,
  Positive,
  PositiveInt,
  recipe,
  RunContext,
  stage,
  trainingOptions
} from "@plumbline/training"
import { Console, Effect, Schema } from "effect"
import { dirname, join } from "node:path"
import { answerTasks, share } from "./held-out.ts"
import { GRADES, type MethodData, methods } from "./self-improvement-methods.ts"
import { readResponse, type SmallTasks, smallTasks } from "./small-tasks.ts"
import { writeJsonl } from "./write-jsonl.ts"

const Params = Schema.Struct({
  model: needed(Schema.NonEmptyString, "folder of the quickstart's SFT model"),
  method: option(Schema.Literals(Object.keys(methods) as ReadonlyArray<keyof typeof methods>), "spin", "the method"),
  control: option(Schema.Boolean, false, "run what must not improve the model instead"),
  teacher: optional(
    Schema.NonEmptyString,
    "teacher of distillation (default: the quickstart's DPO model beside --model)"
  ),
  seed: option(NonNegativeInt, 0, "the quickstart's seed: its tasks, and the samples"),
  rows: option(PositiveInt, 4000, "demonstrations or prompts"),
  heldOut: option(PositiveInt, 300, "held-out prompts"),
  steps: optional(PositiveInt, "optimizer steps of 32 rows or prompts (default: the method's)"),
  learningRate: optional(Positive, "peak learning rate (default: the method's)")
})

export default recipe({
  name: "self-improvement",
  params: Params,
  run: Effect.fnUntraced(function* (params) {
    const { control, heldOut, method, model, rows, seed } = params
    const { output } = yield* RunContext
    const { data, learningRate, run, steps } = methods[method]
    const tasks = smallTasks({ seed, demonstrations: rows, pairs: rows, heldOut })
    const train = yield* writeJsonl(join(output, "data", "train.jsonl"), trainingRows(data, tasks, control, seed))
    const tokenizer = yield* loadTokenizer(model)
    const options = trainingOptions({
      seed,
      batchSize: 32,
      lrSchedule: "cosine",
      warmupSteps: 5,
      adamBeta2: 0.98,
      maxSteps: params.steps ?? steps,
      learningRate: params.learningRate ?? learningRate
    })
    const teacher = params.teacher ?? join(dirname(dirname(model)), "dpo", "final")
    const result = yield* run({ ...options, model, tokenizer, train, teacher, control }).pipe((training) =>
      stage(method, training)
    )
    if (result.status === "stopped") return
    const steered = method === "steerlm" ? attributeLabel(GRADES, { right: 4, polite: 4 }) : ""
    const before = yield* measured(model, tasks, seed, "")
    const after = yield* measured(join(output, method, "final"), tasks, seed, steered)
    yield* Console.log(`\n${control ? "control of " : ""}${method}, seed ${seed}: right answers, polite style`)
    yield* Console.log(`before ${percent(before)}   after ${percent(after)}`)
  })
})

/** Rows of the kind that the method learns from. */
const trainingRows = (kind: MethodData, tasks: SmallTasks, control: boolean, seed: number): ReadonlyArray<object> => {
  if (kind === "prompts")
    return tasks.pairs.map(({ chosen, prompt }) => ({ prompt, answer: readResponse(chosen).answer }))
  if (kind === "graded") return graded(tasks, control, seed)
  // distillation has the student answer and reads the prompts alone; spin's control has nothing better to show than the model does
  return control ? tasks.demonstrations : tasks.pairs.map(({ chosen, prompt }) => ({ prompt, completion: chosen }))
}

/** Both responses of pairs with grades by code, or those of another one. */
const graded = ({ pairs }: SmallTasks, control: boolean, seed: number): ReadonlyArray<object> => {
  const rows = pairs.flatMap(({ chosen, prompt, rejected }) =>
    [chosen, rejected].map((completion) => ({ prompt, completion, ...grades(completion, readResponse(chosen).answer) }))
  )
  const dice = philoxStream(seed, "shuffled grades")
  const other = (i: number) => rows[control ? Math.floor(dice.uniform(i) * rows.length) : i]!
  return rows.map((row, i) => ({ ...row, right: other(i).right, polite: other(i).polite }))
}

const grades = (response: string, right: string) => {
  const { answer, polite } = readResponse(response)
  return { right: answer === right ? 4 : 0, polite: polite ? 4 : 0 }
}

/** Shares of right and of polite answers. @param label what a steered model reads after the prompt */
const measured = Effect.fnUntraced(function* (folder: string, tasks: SmallTasks, seed: number, label: string) {
  const tokenizer = yield* loadTokenizer(folder)
  const model = yield* Effect.acquireRelease(loadCausalLM(folder, { name: folder, trainable: false }), ({ dispose }) =>
    Effect.sync(dispose)
  )
  const asked = tasks.heldOutTasks.map((task) => ({ ...task, prompt: task.prompt + label }))
  const answers = yield* answerTasks(model, tokenizer, asked, seed)
  return [share(answers.map(({ correct }) => correct)), share(answers.map(({ polite }) => polite))]
}, Effect.scoped)

const percent = (shares: ReadonlyArray<number>): string => shares.map((x) => `${(100 * x).toFixed(1)} %`).join(", ")
