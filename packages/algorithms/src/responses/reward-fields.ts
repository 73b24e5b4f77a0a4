import {
  afterHashes,
  boxed,
  exactAnswer,
  lastNumber,
  numericAnswer,
  Reward,
  type RewardRule,
  tagged,
  taggedFormat
} from "@plumbline/reward-model"
import { needed, optional, OptionsInvalid } from "@plumbline/training"
import { Effect, Layer, Schema } from "effect"
import { DataUnfit } from "../data-unfit.ts"
import { answerOf } from "./judged-responses.ts"
import { PromptData } from "./prompt-data.ts"

interface RuleChoice {
  readonly rule: (weight: number) => RewardRule
  /** Whether it compares with the row's answer. */
  readonly needsAnswer: boolean
}

/** Rules that `--reward` can name. */
const rules = {
  exact_answer: { rule: (weight) => exactAnswer({ weight }), needsAnswer: true },
  numeric_answer: {
    rule: (weight) => numericAnswer({ from: [afterHashes, boxed, lastNumber], weight }),
    needsAnswer: true
  },
  hashed_answer: { rule: (weight) => numericAnswer({ name: "hashed_answer", weight }), needsAnswer: true },
  boxed_answer: { rule: (weight) => numericAnswer({ name: "boxed_answer", from: [boxed], weight }), needsAnswer: true },
  tagged_answer: {
    rule: (weight) => exactAnswer({ name: "tagged_answer", from: tagged("answer"), weight }),
    needsAnswer: true
  },
  think_format: {
    rule: (weight) => taggedFormat({ name: "think_format", tags: ["think", "answer"], weight }),
    needsAnswer: false
  }
} satisfies Readonly<Record<string, RuleChoice>>

/** A rule by name. */
export const RuleName = Schema.Literals(Object.keys(rules) as ReadonlyArray<keyof typeof rules>)

/** What judges the responses of a command. */
export const rewardFields = {
  reward: needed(
    Schema.Array(RuleName).check(Schema.isMinLength(1)),
    "rules that judge responses, added up: *_answer by the answer of their row, after ####, in a box or in <answer>; think_format by <think> and <answer>"
  ),
  rewardWeights: optional(Schema.Array(Schema.Finite), "weight of each --reward (default: 1 each)")
} as const

export interface RewardFlags {
  readonly reward: ReadonlyArray<keyof typeof rules>
  readonly rewardWeights?: ReadonlyArray<number> | undefined
}

/** The rewards of a command line, and others besides. */
export const rewardLayer = (
  { reward, rewardWeights }: RewardFlags,
  others: ReadonlyArray<RewardRule> = []
): Layer.Layer<Reward, OptionsInvalid> => {
  const refuse = (option: string, reason: string) =>
    Layer.effect(Reward, Effect.fail(new OptionsInvalid({ option, reason })))
  const twice = reward.find((name, i) => reward.indexOf(name) < i)
  if (twice !== undefined) return refuse("--reward", `names ${twice} twice`)
  if (rewardWeights !== undefined && rewardWeights.length !== reward.length) {
    return refuse("--reward-weights", `${rewardWeights.length} weights for ${reward.length} rewards`)
  }
  return Reward.layerRules(...reward.map((name, i) => rules[name].rule(rewardWeights?.[i] ?? 1)), ...others)
}

/** Fails where a row has no answer that the rules could compare with: before the first step, not in the middle of the run. */
export const answersGiven = (algorithm: string, { reward }: RewardFlags) =>
  Effect.gen(function* () {
    const { units } = yield* PromptData
    if (!reward.some((name) => rules[name].needsAnswer)) return
    const missing = units.filter(({ row }) => answerOf(row.record) === undefined)
    if (missing.length === 0) return
    const others = missing.length === 1 ? "" : ` (nor have ${missing.length - 1} others)`
    return yield* new DataUnfit({ algorithm, reason: `${missing[0]!.origin} has no answer to judge by${others}` })
  })
