/**
 * One loss of the preference family on the quickstart's tasks, from the SFT model that the quickstart left.
 *
 *   plumb run recipes/preference-losses.ts --model runs/quickstart/sft/final --loss kto
 *
 * The pairs are the quickstart's. Losses on responses judged one by one see each pair as two: desirable, undesirable. The
 * answers to 300 held-out prompts are sampled at temperature 1 and checked by code, before and after. Graded rewards are a
 * point each for right and polite; TPO's gold answer is the chosen one, which makes it CPO.
 *
 * The settings are the quickstart's for DPO and not tuned for any loss: those whose gradient is large (SimPO, AlphaPO, ORPO) want
 * a smaller learning rate. APO-down holds the chosen responses to be worse than the model's own and pushes them down, too, which
 * is not so here; DiscoPOP's loss rises with the gap about 0, so from the reference it first goes the wrong way.
 *
 * Seen on 2 cores of a Xeon server CPU (wasm, one thread), 25 to 160 s a loss on a more or less busy machine, seed 0:
 *
 *   loss               right answers      polite style       chosen side likelier
 *   (SFT)               53.7 %             51.3 %             68.0 %
 *   dpo                 79.7 %             94.0 %            100.0 %
 *   cdpo                80.0 %             94.7 %            100.0 %
 *   dpo-js              67.0 %             92.3 %            100.0 %
 *   dpo-nll             81.7 %             94.3 %            100.0 %
 *   ld-dpo              79.3 %             93.7 %            100.0 %
 *   wpo                 81.0 %             90.3 %            100.0 %
 *   tr-dpo              79.0 %             94.3 %            100.0 %
 *   ipo                 63.0 %             91.7 %             98.3 %
 *   hinge               79.3 %             94.3 %            100.0 %
 *   exo                 79.3 %             94.7 %            100.0 %
 *   nca                 80.3 %             94.0 %            100.0 %
 *   robust              79.7 %             93.3 %            100.0 %
 *   bco-pair            80.0 %             94.3 %            100.0 %
 *   sppo                83.0 %             94.3 %            100.0 %
 *   aot                 79.0 %             93.7 %            100.0 %
 *   aot-unpaired        78.0 %             93.0 %            100.0 %
 *   apo-zero            79.3 %             94.0 %            100.0 %
 *   apo-down             3.0 %              4.7 %             52.7 %
 *   discopop            39.3 %             31.7 %             64.7 %
 *   sigmoid-norm        65.3 %             94.3 %             98.3 %
 *   rpo-sq              80.7 %             94.7 %            100.0 %
 *   rpo-bwd-kl          81.3 %             94.3 %            100.0 %
 *   rpo-fwd-kl          81.3 %             94.0 %            100.0 %
 *   kto                 80.0 %             94.7 %            100.0 %
 *   apo-zero-unpaired   80.0 %             94.7 %            100.0 %
 *   bco                 81.0 %             94.3 %            100.0 %
 *   cpo                 82.7 %             96.0 %            100.0 %
 *   simpo               25.0 %             94.7 %             98.7 %
 *   alphapo             25.3 %             95.0 %             99.7 %
 *   orpo                50.0 %             83.0 %            100.0 %
 *   tpo                 82.7 %             96.0 %            100.0 %
 */
import { loadTokenizer, Tokenizer } from "@plumbline/data"
import { Policy } from "@plumbline/models"
import {
  needed,
  NonNegativeInt,
  option,
  Positive,
  PositiveInt,
  recipe,
  RunContext,
  stage,
  trainingOptions
} from "@plumbline/training"
import { Effect, Schema } from "effect"
import { join } from "node:path"
import { losses } from "./preference-loss-runs.ts"
import { reportQuickstart } from "./quickstart-report.ts"
import { type Pair, readResponse, smallTasks } from "./small-tasks.ts"
import { writeJsonl } from "./write-jsonl.ts"

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
    const train = yield* writeJsonl(join(output, "data", "pairs.jsonl"), tasks.pairs.map(graded))
    const tokenizer = yield* loadTokenizer(model)
    const options = trainingOptions({
      seed,
      batchSize: 32,
      lrSchedule: "cosine",
      warmupSteps: 20,
      adamBeta2: 0.98,
      maxSteps: steps,
      learningRate,
      saveEvery: 100
    })
    const result = yield* losses[loss]({ ...options, model, train, files: tokenizer.files }).pipe(
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

/** With what the losses on graded rewards and on triples read besides: a point each for right and polite, and a gold answer. */
const graded = (pair: Pair) => {
  const right = readResponse(pair.chosen).answer
  const { answer, polite } = readResponse(pair.rejected)
  const points = Number(answer === right) + Number(polite)
  return { ...pair, chosen_reward: 2, rejected_reward: points, reference: pair.chosen }
}
