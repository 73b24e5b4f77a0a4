import { RewardInputMissing } from "../errors.ts"
import type { RewardGroup } from "../reward-request.ts"
import { afterHashes, type AnswerText, lastNumber, wholeText } from "./answer-text.ts"
import { parseNumber, type Rational, within } from "./rational.ts"
import { answerOf, type RewardRule } from "./rule.ts"

export interface NumericAnswerOptions {
  /** "numeric_answer" when absent. */
  readonly name?: string
  readonly weight?: number
  /** Where a response's answer stands, the first that finds one; `####` alone when absent. */
  readonly from?: ReadonlyArray<AnswerText>
  /** Largest |difference| that counts as right; 0, exact, when absent. */
  readonly tolerance?: number
}

/**
 * 1 where the response's number is the row's answer, else 0. Numbers are compared exactly, so `18`, `18.0`, `$18` and `36/2` are one.
 *
 * The row's answer may be a number, or a solution that ends as GSM8K's do: `… #### 18`.
 */
export const numericAnswer = ({
  from = [afterHashes],
  name = "numeric_answer",
  tolerance = 0,
  weight = 1
}: NumericAnswerOptions = {}): RewardRule => ({
  name,
  weight,
  score: ({ text }, group) => {
    const right = rightNumber(group, name)
    const said = from.map((find) => find(text)).find((found) => found !== undefined)
    const number = said === undefined ? undefined : numberIn(said)
    return number !== undefined && within(number, right, tolerance) ? 1 : 0
  }
})

/** The text as a number, or the one number beside its units: `18 dollars`. */
const numberIn = (text: string): Rational | undefined => {
  const whole = parseNumber(text)
  if (whole !== undefined) return whole
  const last = lastNumber(text)
  const only = last !== undefined && text.indexOf(last) === text.search(/[-−+]?[$€£¥]?\d/)
  return only ? parseNumber(last) : undefined
}

const rightNumber = (group: RewardGroup, part: string): Rational => {
  const answer = answerOf(group, part)
  const number = numberIn(afterHashes(answer) ?? wholeText(answer) ?? "")
  if (number === undefined) {
    const reason = `which is no number: ${JSON.stringify(answer.slice(-80))}`
    throw new RewardInputMissing({ row: group.row, part, field: "answer", reason })
  }
  return number
}
