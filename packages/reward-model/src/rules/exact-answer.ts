import { type AnswerText, wholeText } from "./answer-text.ts"
import { answerOf, type RewardRule } from "./rule.ts"

export interface ExactAnswerOptions {
  /** "exact_answer" when absent. */
  readonly name?: string
  readonly weight?: number
  /** Where the answer stands, in the response and in the row's answer alike; the whole text when absent. */
  readonly from?: AnswerText
  /** Whether capitals count; true when absent. */
  readonly caseSensitive?: boolean
}

/** 1 where the response says the row's answer, else 0. White space around it counts for nothing, runs of it for one space. */
export const exactAnswer = ({
  caseSensitive = true,
  from = wholeText,
  name = "exact_answer",
  weight = 1
}: ExactAnswerOptions = {}): RewardRule => {
  const plain = (text: string) => {
    const even = text.normalize("NFC").replace(/\s+/g, " ").trim()
    return caseSensitive ? even : even.toLowerCase()
  }
  return {
    name,
    weight,
    score: ({ text }, group) => {
      const answer = answerOf(group, name)
      const said = from(text)
      return said !== undefined && plain(said) === plain(from(answer) ?? answer) ? 1 : 0
    }
  }
}
