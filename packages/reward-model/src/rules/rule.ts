import { Effect } from "effect"
import { kindOf } from "../checked-reward.ts"
import { type RewardError, RewardFailed, RewardInputMissing, RewardNotFinite } from "../errors.ts"
import type { JudgedResponse, RewardGroup } from "../reward-request.ts"
import { judgement, type RewardShape } from "../reward-shape.ts"

/** A reward that code computes from the response alone and its row. */
export interface RewardRule {
  readonly name: string
  /** 1 when absent. */
  readonly weight?: number
  /**
   * Synchronous and pure.
   *
   * @throws RewardInputMissing where the row lacks what the rule needs
   */
  readonly score: (response: JudgedResponse, group: RewardGroup) => number
}

/** Rules as one reward: each is a part. */
export const ruleReward = (...rules: ReadonlyArray<RewardRule>): RewardShape => {
  const twice = rules.find(({ name }, i) => rules.findIndex((other) => other.name === name) < i)
  if (twice !== undefined) throw new RangeError(`two rules are named "${twice.name}"`)
  return {
    parts: rules.map(({ name, weight = 1 }) => ({ name, weight })),
    judge: (groups) =>
      Effect.try({
        try: () => groups.map((group) => judged(group, rules)),
        catch: (cause) => {
          if (EXPECTED.some((expected) => cause instanceof expected)) return cause as RewardError
          // a rule that breaks is a bug, not a reward
          throw cause
        }
      })
  }
}

const EXPECTED = [RewardFailed, RewardInputMissing, RewardNotFinite]

const judged = (group: RewardGroup, rules: ReadonlyArray<RewardRule>) => ({
  responses: group.responses.map((response, i) =>
    judgement(
      rules.map(({ name, score, weight = 1 }) => {
        const value: unknown = score(response, group)
        if (typeof value !== "number") {
          const reason = `the rule gives ${kindOf(value)} for response ${i}, not a number`
          throw new RewardFailed({ row: group.row, part: name, reason })
        }
        if (!Number.isFinite(value)) throw new RewardNotFinite({ row: group.row, part: name, response: i, value })
        return { name, weight, raw: value, value }
      })
    )
  )
})

/** The row's answer. @throws RewardInputMissing where it has none */
export const answerOf = ({ answer, row }: RewardGroup, part: string): string => {
  if (answer === undefined || answer.trim() === "") {
    throw new RewardInputMissing({ row, part, field: "answer", reason: "which the row does not have" })
  }
  return answer
}
