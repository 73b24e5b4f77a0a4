import {
  a2po,
  attributedFiles,
  better,
  dataFromFiles,
  DistillationData,
  dpo,
  nashMd,
  onlinePreference,
  onPolicyDistillation,
  opponentEngine,
  OpponentGenerator,
  PromptData,
  ReferenceLogProbs,
  rejectionSampling,
  reverseDivergence,
  selfRewarding,
  spin,
  steerLm,
  SupervisedData,
  TeacherLogits,
  xpo
} from "@plumbline/algorithms"
import { Tokenizer, type TokenizerShape } from "@plumbline/data"
import { Policy, ReferencePolicy, Teacher } from "@plumbline/models"
import { Reward, type RewardRule } from "@plumbline/reward-model"
import { Generator } from "@plumbline/rollout-generation"
import { philoxStream } from "@plumbline/runtime"
import {
  type Algorithm,
  type MicroBatch,
  type RecipeServices,
  runTraining,
  type Trainable,
  type TrainingOptions
} from "@plumbline/training"
import { Effect, Layer } from "effect"
import { randomTeacher } from "./random-teacher.ts"
import { readResponse } from "./small-tasks.ts"

/** What all methods start from. */
export interface MethodSetting extends TrainingOptions {
  readonly model: string
  readonly tokenizer: TokenizerShape
  readonly train: string
  /** Folder of a better model, for distillation. */
  readonly teacher: string
  readonly control: boolean
}

const run = <M extends Trainable, B extends MicroBatch, E, R>(
  algorithm: Algorithm<M, B, E, R>,
  setting: MethodSetting
) => runTraining({ algorithm, options: setting, inputs: [setting.train], extraFiles: setting.tokenizer.files })

/** What the data ask for, in the order of the quickstart's: the policy and its tokenizer. */
const start = ({ model, tokenizer }: MethodSetting) =>
  Layer.merge(Policy.layerFromFolder(model), Tokenizer.layer(tokenizer))

const responses = ({ seed }: MethodSetting) => ({ seed, sampling: { maxNewTokens: 40 } })

/** 1 for the right answer in a polite sentence, ½ for the right answer alone; the control throws dice. */
const judge = ({ control, seed }: MethodSetting) => {
  const right: RewardRule = {
    name: "right",
    score: ({ text }, { answer }) => {
      const said = readResponse(text)
      return said.answer === answer ? (said.polite ? 1 : 0.5) : 0
    }
  }
  const dice = philoxStream(seed, "control")
  const random: RewardRule = { name: "random", score: ({ text }, { row }) => dice.child(`${row} ${text}`).uniform(0) }
  return Reward.layerRules(control ? random : right)
}

const spinMethod = (setting: MethodSetting) =>
  run(spin({ ...responses(setting), beta: 0.1, iterationSteps: Math.ceil(setting.maxSteps! / 3) }), setting).pipe(
    Effect.provide([ReferenceLogProbs.layer, opponentEngine({ maxRows: 64 })]),
    Effect.provide([SupervisedData.layerFiles(setting), ReferencePolicy.layerMovable(setting.model)]),
    Effect.provide(start(setting))
  )

const rejectionMethod = (setting: MethodSetting) =>
  run(rejectionSampling({ ...responses(setting), samples: 4, keep: 1 }), setting).pipe(
    Effect.provide([PromptData.layerFiles(setting), Generator.layerEngine({ maxRows: 128 }), judge(setting)]),
    Effect.provide(start(setting))
  )

/** Of an algorithm whose policy is held near its reference. */
const referenced = (setting: MethodSetting) =>
  ReferenceLogProbs.layer.pipe(
    Layer.provideMerge([
      PromptData.layerFiles(setting),
      ReferencePolicy.layerFromFolder(setting.model),
      Generator.layerEngine({ maxRows: 128 }),
      judge(setting)
    ]),
    Layer.provideMerge(start(setting))
  )

const onlineMethod = (setting: MethodSetting) =>
  run(onlinePreference(dpo({ beta: 0.1 }), { ...responses(setting), samples: 4 }), setting).pipe(
    Effect.provide(referenced(setting))
  )

/** Of one whose policy writes against an opponent, too. */
const duelServices = <E, R>(setting: MethodSetting, opponent: Layer.Layer<OpponentGenerator, E, R>) =>
  opponent.pipe(Layer.provideMerge(referenced(setting)))

const xpoMethod = (setting: MethodSetting) =>
  run(xpo({ ...responses(setting), beta: 0.1, exploration: 1e-5 }), setting).pipe(
    Effect.provide(duelServices(setting, OpponentGenerator.layerReference({ maxRows: 128 })))
  )

const nashMethod = (setting: MethodSetting) =>
  run(nashMd({ ...responses(setting), beta: 0.02, preference: better }), setting).pipe(
    Effect.provide(duelServices(setting, OpponentGenerator.layerMixture(0.125, { maxRows: 128 })))
  )

const a2poMethod = (setting: MethodSetting) =>
  run(a2po({ ...responses(setting), beta: 1e-3, valueBeta: 0.5, referenceSamples: 8 }), setting).pipe(
    Effect.provide(duelServices(setting, OpponentGenerator.layerReference({ maxRows: 256 })))
  )

const selfRewardingMethod = (setting: MethodSetting) => {
  const iterations = { iterationSteps: Math.ceil(setting.maxSteps! / 3), lengthControl: 0 }
  return run(selfRewarding(dpo({ beta: 0.1 }), { ...responses(setting), samples: 4, ...iterations }), setting).pipe(
    Effect.provide([ReferenceLogProbs.layer, opponentEngine({ maxRows: 128 }), judge(setting)]),
    Effect.provide([PromptData.layerFiles(setting), ReferencePolicy.layerMovable(setting.model)]),
    Effect.provide(start(setting))
  )
}

/** Grades that demonstrations have. */
export const GRADES = ["right", "polite"] as const

const steerLmMethod = (setting: MethodSetting) =>
  run(steerLm(GRADES), setting).pipe(
    Effect.provide(Layer.effect(SupervisedData, dataFromFiles(attributedFiles(GRADES), setting))),
    Effect.provide(start(setting))
  )

const distillationMethod = (setting: MethodSetting) => {
  const how = { loss: reverseDivergence(), tail: "bucket", divergenceWeight: 1, crossEntropyWeight: 0 } as const
  return run(onPolicyDistillation(how, { ...responses(setting), share: 1 }), setting).pipe(
    Effect.provide(TeacherLogits.layerModel(64)),
    Effect.provide([
      DistillationData.layerFiles(setting),
      Generator.layerEngine({ maxRows: 64 }),
      setting.control ? randomTeacher(setting) : Teacher.layerFromFolder(setting.teacher)
    ]),
    Effect.provide(start(setting))
  )
}

/** What a method learns from: demonstrations, demonstrations with grades, or prompts with answers. */
export type MethodData = "demonstrations" | "graded" | "prompts"

const table = {
  spin: { run: spinMethod, steps: 45, data: "demonstrations", learningRate: 1e-4 },
  "rejection-sampling": { run: rejectionMethod, steps: 45, data: "prompts", learningRate: 5e-4 },
  "online-dpo": { run: onlineMethod, steps: 45, data: "prompts", learningRate: 1e-4 },
  xpo: { run: xpoMethod, steps: 150, data: "prompts", learningRate: 1e-4 },
  "nash-md": { run: nashMethod, steps: 150, data: "prompts", learningRate: 3e-4 },
  a2po: { run: a2poMethod, steps: 150, data: "prompts", learningRate: 3e-4 },
  "self-rewarding": { run: selfRewardingMethod, steps: 45, data: "prompts", learningRate: 1e-4 },
  steerlm: { run: steerLmMethod, steps: 400, data: "graded", learningRate: 2e-3 },
  distillation: { run: distillationMethod, steps: 45, data: "demonstrations", learningRate: 5e-4 }
} as const

type Table = typeof table
type Run = ReturnType<Table[keyof Table]["run"]>

interface Method {
  readonly run: (setting: MethodSetting) => Effect.Effect<Effect.Success<Run>, Effect.Error<Run>, RecipeServices>
  readonly data: MethodData
  readonly steps: number
  readonly learningRate: number
}

/** By what `--method` can name. */
export const methods: Readonly<Record<keyof Table, Method>> = table
