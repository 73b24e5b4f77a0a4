/**
 * DPO through an adapter instead of the whole model: the quickstart's second stage with 30,720 of 265,000 numbers trained, and
 * the model itself as the reference, at no memory.
 *
 *   plumb run recipes/adapters.ts --model runs/quickstart/sft/final --method lora [--seed 0] [--rank 8]
 *
 * Each starts from the quickstart's SFT model of that seed; 300 held-out prompts are answered at temperature 1, and code checks
 * the answers. Seen on 2 cores of a Xeon server CPU (wasm, one thread; 40 s to 5 minutes a run, on a busy machine), seed 0 / 1 / 2:
 *
 *   method   right answers           polite style            chosen side likelier
 *   start    53.7 / 52.7 / 47.3 %    51.3 / 41.0 / 49.7 %    68.0 / 66.7 / 69.0 %
 *   full     79.7 / 78.0 / 73.3 %    94.0 / 93.7 / 94.3 %    100.0 / 99.7 / 99.3 %
 *   lora     72.3 / 68.3 / 62.0 %    96.7 / 96.7 / 93.7 %    100.0 / 100.0 / 99.3 %
 *   qlora    71.0 / 68.3 / 60.7 %    96.3 / 96.7 / 93.7 %    100.0 / 100.0 / 99.3 %
 *   pissa    78.3 / 75.3 / 70.3 %    85.0 / 82.7 / 86.3 %    100.0 / 99.7 / 99.3 %
 *
 * The start of qlora is the model in 4 bits: 53.0 / 52.0 / 46.3 % right. Row full, seeds 1 and 2, is what the quickstart itself gave; learning
 * rates of lora and pissa were chosen on seed 0.
 */
import { dpo, preference, PreferenceData, ReferenceLogProbs } from "@plumbline/algorithms"
import { loadTokenizer, Tokenizer } from "@plumbline/data"
import { loadCausalLM, ReferencePolicy } from "@plumbline/models"
import { adaptedForUse, adaptedPolicy, type AdapterOptions } from "@plumbline/peft"
import {
  needed,
  NonNegativeInt,
  option,
  optional,
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
import { answerTasks, preferenceRate, share } from "./held-out.ts"
import { type SmallTasks, smallTasks } from "./small-tasks.ts"
import { writeJsonl } from "./write-jsonl.ts"

interface Method {
  readonly adapter: (rank: number) => AdapterOptions
  /** Peak learning rate. */
  readonly learningRate: number
}

/** What is trained, and how fast: rates that seed 0 chose of two to four. */
const methods = {
  full: { adapter: () => ({}), learningRate: 1e-4 },
  lora: { adapter: (loraRank) => ({ loraRank }), learningRate: 5e-4 },
  qlora: { adapter: (loraRank) => ({ loraRank, quantised: true }), learningRate: 5e-4 },
  pissa: { adapter: (loraRank) => ({ loraRank, loraInit: "pissa" }), learningRate: 2e-4 }
} satisfies Record<string, Method>

const Params = Schema.Struct({
  model: needed(Schema.NonEmptyString, "folder of the quickstart's SFT model"),
  method: option(
    Schema.Literals(Object.keys(methods) as ReadonlyArray<keyof typeof methods>),
    "lora",
    "what is trained"
  ),
  rank: option(PositiveInt, 8, "rank of adapters that have one"),
  seed: option(
    NonNegativeInt,
    0,
    "the quickstart's seed: its tasks, and of the adapter, the data's order and the samples"
  ),
  pairs: option(PositiveInt, 4000, "preference pairs"),
  heldOut: option(PositiveInt, 300, "held-out prompts, and as many held-out pairs"),
  steps: option(PositiveInt, 200, "optimizer steps of 32 pairs"),
  learningRate: optional(Positive, "peak learning rate (default: the method's)"),
  beta: option(Positive, 0.1, "DPO's pull toward the SFT model")
})

export default recipe({
  name: "adapters",
  params: Params,
  run: Effect.fnUntraced(function* ({ beta, learningRate, method, model, rank, seed, steps, ...sizes }) {
    const { output } = yield* RunContext
    const tasks = smallTasks({ seed, demonstrations: 0, ...sizes })
    const pairs = yield* writeJsonl(join(output, "data", "pairs.jsonl"), tasks.pairs)
    const tokenizer = yield* loadTokenizer(model)
    const { adapter, learningRate: usual }: Method = methods[method]
    const asked = adapter(rank)
    const options = trainingOptions({
      seed,
      batchSize: 32,
      lrSchedule: "cosine",
      warmupSteps: 20,
      adamBeta2: 0.98,
      maxSteps: steps,
      learningRate: learningRate ?? usual
    })
    const result = yield* runTraining({
      algorithm: preference(dpo({ beta })),
      options,
      inputs: [pairs, join(model, "model.safetensors")],
      extraFiles: tokenizer.files,
      highlights: ["rewards/accuracies", "rewards/margins"]
    }).pipe(
      Effect.provide(ReferenceLogProbs.layer),
      Effect.provide([PreferenceData.layerFiles({ ...options, train: pairs }), ReferencePolicy.layerFrozen]),
      Effect.provide([adaptedPolicy(model, asked, seed), Tokenizer.layer(tokenizer)]),
      (training) => stage(method, training)
    )
    if (result.status === "stopped") return
    const quantised = asked.quantised === true
    const final = join(output, method, "final")
    const before = yield* measured({ model, quantised }, tasks, seed)
    const after = yield* measured(
      method === "full" ? { model: final } : { model, quantised, adapter: final },
      tasks,
      seed
    )
    yield* Console.log(`\n${method}, seed ${seed}: right answers, polite style, pairs whose chosen side is likelier`)
    yield* Console.log(`before ${percent(before)}   after ${percent(after)}`)
  })
})

interface Measured {
  readonly model: string
  readonly quantised?: boolean
  readonly adapter?: string
}

/** Shares of right and of polite answers, and of pairs whose chosen side is likelier. */
const measured = Effect.fnUntraced(function* (
  { adapter, model: folder, quantised = false }: Measured,
  tasks: SmallTasks,
  seed: number
) {
  const tokenizer = yield* loadTokenizer(folder)
  const base = yield* Effect.acquireRelease(
    loadCausalLM(folder, { name: folder, trainable: false, quantised }),
    ({ dispose }) => Effect.sync(dispose)
  )
  const model = yield* adaptedForUse(base, adapter)
  const answers = yield* answerTasks(model, tokenizer, tasks.heldOutTasks, seed)
  const shares = [answers.map(({ correct }) => correct), answers.map(({ polite }) => polite)].map(share)
  return [...shares, preferenceRate(model, tokenizer, tasks.heldOutPairs)]
}, Effect.scoped)

const percent = (shares: ReadonlyArray<number>): string => shares.map((x) => `${(100 * x).toFixed(1)} %`).join(", ")
