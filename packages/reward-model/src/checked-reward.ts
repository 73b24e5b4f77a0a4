import { Effect } from "effect"
import { type RewardError, RewardFailed, RewardNotFinite } from "./errors.ts"
import type { JudgedGroup, RewardGroup } from "./reward-request.ts"
import type { RewardShape } from "./reward-shape.ts"

/**
 * A reward held to its contract: one judgement for each response, in finite numbers. What is short would leave responses
 * with the rewards of others, and Node strips the types of a recipe without looking at them.
 */
export const checkedReward = (reward: RewardShape): RewardShape => {
  const part = reward.parts.map(({ name }) => name).join(", ")
  const failed = (row: string, reason: string) => new RewardFailed({ row, part, reason })
  return {
    ...reward,
    judge: (groups) =>
      Effect.suspend(() => {
        const judging: unknown = reward.judge(groups)
        if (!isJudging(judging)) {
          return Effect.fail(failed(groups[0]?.row ?? "no row", `its judge gives ${kindOf(judging)}, not an Effect`))
        }
        return Effect.flatMap(judging, (answers) => {
          const fault = faultOf(groups, answers, failed, part)
          return fault === undefined ? Effect.succeed(answers) : Effect.fail(fault)
        })
      })
  }
}

type Judging = ReturnType<RewardShape["judge"]>
const isJudging = (value: unknown): value is Judging => Effect.isEffect(value)

const faultOf = (
  groups: ReadonlyArray<RewardGroup>,
  answers: ReadonlyArray<JudgedGroup>,
  failed: (row: string, reason: string) => RewardFailed,
  part: string
): RewardError | undefined => {
  const counted = Array.isArray(answers) ? answers.length : kindOf(answers)
  for (const [i, { responses, row }] of groups.entries()) {
    if (counted !== groups.length) return failed(row, `it judged ${counted} of ${groups.length} groups`)
    const judged = answers[i]?.responses as JudgedGroup["responses"] | undefined
    if (!Array.isArray(judged)) return failed(row, "its judgement has no responses")
    if (judged.length !== responses.length) {
      return failed(row, `it judged ${judged.length} of ${responses.length} responses`)
    }
    for (const [response, judgement] of judged.entries()) {
      if (!Array.isArray(judgement?.parts)) return failed(row, `its judgement of response ${response} has no parts`)
      const value: unknown = judgement.reward
      if (value === undefined) continue
      if (typeof value !== "number") {
        return failed(row, `its reward of response ${response} is ${kindOf(value)}, not a number`)
      }
      if (!Number.isFinite(value)) return new RewardNotFinite({ row, part, response, value })
    }
  }
  return undefined
}

/** What a value is, in words: `a string`, `a Promise`, `nothing`. */
export const kindOf = (value: unknown): string => {
  if (value === undefined || value === null) return "nothing"
  if (typeof value !== "object") return `a ${typeof value}`
  const { name } = (value.constructor ?? {}) as { readonly name?: string }
  return /^[AEIOU]/.test(name ?? "Object") ? `an ${name ?? "Object"}` : `a ${name}`
}
