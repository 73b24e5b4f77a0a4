import {
  afterHashes,
  boxed,
  exactAnswer,
  lastNumber,
  numericAnswer,
  Reward,
  type RewardRule
} from "@plumbline/reward-model"
import { needed } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { DataUnfit } from "../data-unfit.ts"
import { answerOf } from "./judged-responses.ts"
import { PromptData } from "./prompt-data.ts"

/** Rules that `--reward` can name. */
const rules: Readonly<Record<"exact_answer" | "numeric_answer", () => RewardRule>> = {
  exact_answer: () => exactAnswer(),
  numeric_answer: () => numericAnswer({ from: [afterHashes, boxed, lastNumber] })
}

const RuleName = Schema.Literals(Object.keys(rules) as ReadonlyArray<keyof typeof rules>)

/** What judges the responses of a command. */
export const rewardFields = {
  reward: needed(
    Schema.Array(RuleName).check(Schema.isMinLength(1)),
    "rules that judge responses by the answer of their row; several are added"
  )
} as const

export const rewardLayer = ({ reward }: { readonly reward: ReadonlyArray<keyof typeof rules> }) =>
  Reward.layerRules(...reward.map((name) => rules[name]()))

/** Fails where a row has no answer that the rules could compare with: before the first step, not in the middle of the run. */
export const answersGiven = (algorithm: string) =>
  Effect.gen(function* () {
    const { units } = yield* PromptData
    const missing = units.filter(({ row }) => answerOf(row.record) === undefined)
    if (missing.length === 0) return
    const others = missing.length === 1 ? "" : ` (nor have ${missing.length - 1} others)`
    return yield* new DataUnfit({ algorithm, reason: `${missing[0]!.origin} has no answer to judge by${others}` })
  })
