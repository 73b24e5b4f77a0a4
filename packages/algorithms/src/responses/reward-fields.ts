import { flagName } from "@plumbline/data"
import { combine, Reward, type RewardRule, ruleReward, unfinished } from "@plumbline/reward-model"
import { option, optional, OptionsInvalid, Positive } from "@plumbline/training"
import { Effect, Layer, Schema } from "effect"
import { DataUnfit } from "../data-unfit.ts"
import { WeightedName } from "../reward-model/named-weights.ts"
import { answerOf } from "./judged-responses.ts"
import { PromptData } from "./prompt-data.ts"
import { type PolicyFolder, rewardModelTerms } from "./reward-models.ts"
import { RuleName, rewardRules } from "./reward-rules.ts"

/** What judges the responses of a command. */
export const rewardFields = {
  reward: optional(
    Schema.Array(RuleName).check(Schema.isMinLength(1)),
    "rules that judge responses, added up: *_answer by the answer of their row, after ####, in a box or in <answer>; think_format by <think> and <answer>"
  ),
  rewardModel: optional(
    Schema.Array(Schema.NonEmptyString).check(Schema.isMinLength(1)),
    "trained reward models that judge them, added to the rules: folders, or addresses of plumb serve, e.g. http://127.0.0.1:8000; its token in PLUMBLINE_TOKEN"
  ),
  rewardWeights: optional(
    Schema.Array(Schema.Finite),
    "weight of each --reward, then of each --reward-model (default: 1 each)"
  ),
  attributeWeights: optional(
    Schema.Array(WeightedName),
    "what each attribute of a reward model's folder counts, as helpfulness=0.65,verbosity=-0.4 (default: all the same, adding up to 1)"
  ),
  missingEosPenalty: optional(Positive, "what a response loses that is cut off at its most tokens (default: nothing)"),
  rewardTimeout: option(
    Positive,
    600,
    "seconds after which a prompt whose responses have no reward ends the run; a plumb serve that is stopped ends it sooner"
  )
} as const

const RewardFlags = Schema.Struct(rewardFields)
export type RewardFlags = typeof RewardFlags.Type

/**
 * The rewards of a command line, and others besides. Reward models have judged a trial row by then, and all rows have the
 * answers that rules compare with: what cannot judge fails before the first step, not in the middle of the run.
 *
 * @param algorithm names it in failures
 */
export const rewardLayer = (
  algorithm: string,
  flags: RewardFlags & PolicyFolder,
  others: ReadonlyArray<RewardRule> = []
) =>
  Layer.effect(
    Reward,
    Effect.gen(function* () {
      const { reward = [], rewardModel = [] } = flags
      yield* checkFlags(flags)
      yield* answersGiven(algorithm, reward)
      const weightOf = (place: number) => flags.rewardWeights?.[place] ?? 1
      const rules = [...reward.map((name, i) => rewardRules[name].rule(weightOf(i))), ...others, ...penalties(flags)]
      const weighed = rewardModel.map((place, i) => ({ place, weight: weightOf(reward.length + i) }))
      const models = yield* rewardModelTerms(weighed, flags)
      return combine([...(rules.length === 0 ? [] : [{ reward: ruleReward(...rules) }]), ...models])
    })
  )

const penalties = ({ missingEosPenalty: penalty }: RewardFlags): ReadonlyArray<RewardRule> =>
  penalty === undefined ? [] : [unfinished({ penalty })]

/** Fails where flags say how rewards count, and there are none. */
export const noRewardFlags = (flags: RewardFlags): Effect.Effect<void, OptionsInvalid> => {
  const counts = ["rewardWeights", "attributeWeights", "missingEosPenalty"] as const
  const given = counts.find((field) => flags[field] !== undefined)
  if (given === undefined) return Effect.void
  return Effect.fail(
    new OptionsInvalid({ option: flagName(given), reason: "is read with --reward or --reward-model alone" })
  )
}

const checkFlags = Effect.fnUntraced(function* ({ reward = [], rewardModel = [], ...flags }: RewardFlags) {
  const refuse = (option: string, reason: string) => new OptionsInvalid({ option, reason })
  const judges = [...reward, ...rewardModel]
  if (judges.length === 0) {
    return yield* refuse("--reward", "nothing judges the responses: give rules with it, or models with --reward-model")
  }
  const twice = judges.find((name, i) => judges.indexOf(name) < i)
  if (twice !== undefined) {
    return yield* refuse(rewardModel.includes(twice) ? "--reward-model" : "--reward", `names ${twice} twice`)
  }
  const { attributeWeights, rewardWeights } = flags
  if (rewardWeights !== undefined && rewardWeights.length !== judges.length) {
    return yield* refuse("--reward-weights", `${rewardWeights.length} weights for ${judges.length} rewards`)
  }
  if (attributeWeights !== undefined && rewardModel.length === 0) {
    return yield* refuse("--attribute-weights", "is read with --reward-model alone")
  }
})

/** Fails where a row, held out or not, has no answer that the rules could compare with. */
const answersGiven = Effect.fnUntraced(function* (algorithm: string, reward: ReadonlyArray<RuleName>) {
  if (!reward.some((name) => rewardRules[name].needsAnswer)) return
  const { heldOut, units } = yield* PromptData
  const missing = [...units, ...heldOut].filter(({ row }) => answerOf(row.record) === undefined)
  if (missing.length === 0) return
  const others = missing.length === 1 ? "" : ` (nor have ${missing.length - 1} others)`
  return yield* new DataUnfit({ algorithm, reason: `${missing[0]!.origin} has no answer to judge by${others}` })
})
