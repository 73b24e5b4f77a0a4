/**
 * GRPO on grade-school mathematics: a model of your own learns from a rule that reads the number after ####.
 *
 *   plumb run recipes/grpo-gsm8k.ts --model MODEL --train data/gsm8k-train.jsonl --backend torch --device cuda --precision bfloat16
 *
 * Data: GSM8K (Cobbe et al. 2021, https://arxiv.org/abs/2110.14168, MIT licence), train.jsonl of
 * https://github.com/openai/grade-school-math: one {"question", "answer"} a line. The model must know how to answer in that
 * form now and then, or there is nothing to learn from: `frac_reward_zero_std` is 1 then.
 *
 * Settings of DeepSeekMath (https://arxiv.org/abs/2402.03300, §4.2) at a smaller batch, with DAPO's mean over tokens: 8
 * responses a prompt, KL 0.04 in the loss, learning rate 10⁻⁶.
 *
 * No figure of a model that can reason yet. Seen on 2 busy cores of a Xeon server CPU (torch, float32), seed 0 alone, 16 s a step: a model
 * of 3.7 million weights from recipes/sft-gsm8k.ts (--size small, 458 of 900 steps, then 120 of plumb sft on answers cut to their
 * "#### N") answers 2.0 % of the 1,319 test questions right, greedily. With --prompts 16 --samples 8 --max-new-tokens 12 --max-length 320
 * --learning-rate 1e-4 --kl-coefficient 0.01 its reward is 0.009 ± 0.003 over steps 1 to 10 and 0.016 ± 0.003 over steps 27 to 36, where it
 * was stopped: no more than a hint, from a model that can only guess.
 */
import { fixedKl, grpo, heldOutRewards, PromptData } from "@plumbline/algorithms"
import { loadTokenizer, Tokenizer } from "@plumbline/data"
import { Policy, ReferencePolicy } from "@plumbline/models"
import { k3 } from "@plumbline/numerics"
import { numericAnswer, Reward } from "@plumbline/reward-model"
import { Generator, samplingOptions } from "@plumbline/rollout-generation"
import {
  needed,
  NonNegative,
  NonNegativeInt,
  option,
  optional,
  Positive,
  PositiveInt,
  recipe,
  runTraining,
  TrainingOptions
} from "@plumbline/training"
import { Effect, Layer, Schema } from "effect"

const Params = Schema.Struct({
  model: needed(Schema.NonEmptyString, "folder of the model to start from"),
  train: needed(Schema.NonEmptyString, "questions with answers: .jsonl, .jsonl.gz or .parquet"),
  eval: optional(Schema.NonEmptyString, "held-out questions, answered greedily and judged by the same rule"),
  evalEvery: option(NonNegativeInt, 20, "steps between these evaluations; 0 = never"),
  maxSteps: option(PositiveInt, 200, "optimizer steps, a rollout each"),
  prompts: option(PositiveInt, 64, "questions of a step"),
  samples: option(PositiveInt, 8, "responses to each"),
  maxNewTokens: option(PositiveInt, 256, "most tokens of a response"),
  maxLength: option(PositiveInt, 768, "most tokens of question and response"),
  microBatchTokens: option(PositiveInt, 16_384, "most tokens computed at once in the update"),
  learningRate: option(Positive, 1e-6, "learning rate of AdamW"),
  klCoefficient: option(NonNegative, 0.04, "pull toward the model it starts from"),
  seed: option(NonNegativeInt, 0, "seed of the order of the questions and of the samples")
})

export default recipe({
  name: "grpo-gsm8k",
  params: Params,
  run: Effect.fnUntraced(function* ({ klCoefficient, maxNewTokens, model, prompts, samples, ...params }) {
    const options = Schema.decodeSync(TrainingOptions)({
      ...params,
      batchSize: prompts,
      overlong: "drop",
      lrSchedule: "constant",
      saveEvery: params.evalEvery === 0 ? 20 : params.evalEvery,
      monitor: "reward",
      monitorMode: "max"
    })
    yield* Effect.gen(function* () {
      const { files, stopIds } = yield* Tokenizer
      const { endTokens } = yield* Policy
      const sampling = samplingOptions({ maxNewTokens, stopIds: [...new Set([...stopIds, ...endTokens])] })
      const learning = grpo({
        samples,
        sampling,
        seed: params.seed,
        kl: {
          place: "loss",
          coefficient: fixedKl(klCoefficient),
          estimator: { name: "k3", estimate: k3 },
          weighedByRatio: true,
          reference: ReferencePolicy
        }
      })
      const greedy = { ...sampling, temperature: 0 }
      yield* runTraining({
        algorithm: { ...learning, evaluation: heldOutRewards({ samples: 1, sampling: greedy, seed: params.seed }) },
        options,
        inputs: [params.train, ...(params.eval === undefined ? [] : [params.eval])],
        extraFiles: files,
        highlights: ["reward", "completions/mean_length"]
      })
    }).pipe(
      Effect.provide([
        PromptData.layerFiles({ ...options, train: params.train, eval: params.eval }),
        Generator.layerEngine({ maxRows: Math.min(512, prompts * samples) }),
        Reward.layerRules(numericAnswer()),
        ReferencePolicy.layerFrozen
      ]),
      Effect.provide(Layer.merge(Policy.layerFromFolder(model), Layer.effect(Tokenizer, loadTokenizer(model))))
    )
  })
})
