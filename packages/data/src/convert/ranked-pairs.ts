import type { Message } from "../records/records.ts"
import { assistant, type Made } from "./converter.ts"

export interface ScoredResponse {
  readonly content: string
  /** Higher is better. */
  readonly score: number
}

/**
 * The best of several responses to a prompt against the worst: one pair a prompt, so that prompts with many responses do not
 * weigh more. Of equal ones the first counts.
 *
 * @param graded whether the scores are rewards, to be kept, or mere ranks
 */
export const bestAgainstWorst = (
  prompt: ReadonlyArray<Message>,
  responses: ReadonlyArray<ScoredResponse>,
  graded: boolean
): Made => {
  const written = responses.filter(({ content }) => content.trim() !== "")
  if (written.length < 2) return "fewer than two responses"
  const best = written.reduce((a, b) => (b.score > a.score ? b : a))
  const worst = written.reduce((a, b) => (b.score < a.score ? b : a))
  if (best.score === worst.score) return "all responses are equally good"
  return [
    {
      prompt,
      chosen: [assistant(best.content)],
      rejected: [assistant(worst.content)],
      ...(graded ? { chosen_reward: best.score, rejected_reward: worst.score } : {})
    }
  ]
}

/**
 * A pair whose preference was given as a strength.
 *
 * @param strength below 0 the first response is better, above 0 the second; its size becomes the difference of the rewards
 */
export const judgedPair = (prompt: ReadonlyArray<Message>, first: string, second: string, strength: number): Made => {
  if (strength === 0) return "both responses are equally good"
  const [chosen, rejected] = strength < 0 ? [first, second] : [second, first]
  if (chosen.trim() === "" || rejected.trim() === "") return "a response is empty"
  return [
    {
      prompt,
      chosen: [assistant(chosen)],
      rejected: [assistant(rejected)],
      chosen_reward: Math.abs(strength),
      rejected_reward: 0
    }
  ]
}
