import {
  afterHashes,
  boxed,
  exactAnswer,
  lastNumber,
  numericAnswer,
  type RewardRule,
  tagged,
  taggedFormat
} from "@plumbline/reward-model"
import { Schema } from "effect"

interface RuleChoice {
  readonly rule: (weight: number) => RewardRule
  /** Whether it compares with the row's answer. */
  readonly needsAnswer: boolean
}

/** Rules that `--reward` can name. */
export const rewardRules = {
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
export const RuleName = Schema.Literals(Object.keys(rewardRules) as ReadonlyArray<keyof typeof rewardRules>)
export type RuleName = typeof RuleName.Type
