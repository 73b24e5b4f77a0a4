import type { Message } from "@plumbline/data"
import { Effect } from "effect"
import type { JudgedResponse, RewardGroup } from "../reward-request.ts"
import { judgement, type RewardShape } from "../reward-shape.ts"
import { askJudge, type JudgeOptions, type JudgeQuestion, readTexts } from "./ask-judge.ts"
import { bracketedRating, type RatingReader } from "./verdict.ts"

export interface PointwiseJudgeOptions extends JudgeOptions {
  /** "judge" when absent. */
  readonly name?: string
  readonly weight?: number
  /** Ratings from `min` to `max` become rewards from 0 to 1; 1 to 10 when absent. */
  readonly scale?: { readonly min: number; readonly max: number }
  /** What the judge is told; asks for `[[rating]]` when absent. */
  readonly ask?: (
    group: RewardGroup,
    response: JudgedResponse,
    scale: { readonly min: number; readonly max: number }
  ) => ReadonlyArray<Message>
  /** How its text is read; `bracketedRating` when absent. */
  readonly read?: RatingReader
}

/** A language model that rates each response by itself. */
export const pointwiseJudge = (options: PointwiseJudgeOptions): RewardShape => {
  const { ask = askForRating, name = "judge", scale = { min: 1, max: 10 }, weight = 1 } = options
  if (!(scale.max > scale.min)) throw new RangeError(`no scale goes from ${scale.min} to ${scale.max}`)
  const read = options.read ?? bracketedRating(scale)
  return {
    parts: [{ name, weight }],
    judge: Effect.fn("pointwiseJudge")(function* (groups: ReadonlyArray<RewardGroup>) {
      const questions = groups.flatMap((group) =>
        group.responses.map((response): JudgeQuestion => ({ row: group.row, messages: ask(group, response, scale) }))
      )
      const texts = yield* askJudge(name, questions, options)
      const ratings = yield* readTexts(name, questions, texts, read, options)
      let next = 0
      return groups.map(({ responses }) => ({
        responses: responses.map(() => {
          const rating = ratings[next++]
          const value = rating === undefined ? undefined : (rating - scale.min) / (scale.max - scale.min)
          return judgement([{ name, weight, raw: rating, value }])
        })
      }))
    })
  }
}

/** Asks for `[[rating]]` on the scale. */
export const askForRating: NonNullable<PointwiseJudgeOptions["ask"]> = ({ answer, prompt }, { text }, { max, min }) => [
  {
    role: "user",
    content: [
      `Rate how well the response answers the request, from ${min} (useless) to ${max} (could not be better). Its length and its tone do not count.`,
      `Explain in one sentence, then end with the rating in this form: [[${min}]]`,
      `\n[Request]\n${prompt.text}`,
      ...(answer === undefined ? [] : [`\n[Right answer]\n${answer}`]),
      `\n[Response]\n${text}`
    ].join("\n")
  }
]
