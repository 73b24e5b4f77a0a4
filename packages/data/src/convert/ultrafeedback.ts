import { Schema } from "effect"
import { MessagesField, toMessages } from "../records/fields.ts"
import { form } from "../records/forms.ts"
import { type Converter, type Made, rowByRow, user } from "./converter.ts"
import { bestAgainstWorst, type ScoredResponse } from "./ranked-pairs.ts"

const Rated = Schema.Struct({ Rating: Schema.Union([Schema.String, Schema.Finite]) })

const Completion = Schema.Struct({
  response: Schema.String,
  annotations: Schema.Record(Schema.String, Rated)
})

/**
 * The mean of a response's ratings (helpfulness, honesty, instruction following, truthfulness); nothing where all are "N/A". The
 * file's own `overall_score` is not read: it is 10 in some rows whose critique says 1.
 */
const meanRating = ({ annotations, response }: typeof Completion.Type): ReadonlyArray<ScoredResponse> => {
  const ratings = Object.values(annotations).flatMap(({ Rating }) =>
    Number.isFinite(Number(Rating)) ? [Number(Rating)] : []
  )
  if (ratings.length === 0) return []
  return [{ content: response, score: ratings.reduce((sum, rating) => sum + rating, 0) / ratings.length }]
}

const original = form(
  { instruction: Schema.String, completions: Schema.Array(Completion) },
  {},
  ({ completions, instruction }): Made => bestAgainstWorst([user(instruction)], completions.flatMap(meanRating), true)
)

/** HuggingFaceH4's: whole chats of either side, with their scores. */
const binarized = form(
  { chosen: MessagesField, rejected: MessagesField, score_chosen: Schema.Finite, score_rejected: Schema.Finite },
  {},
  ({ chosen, rejected, score_chosen, score_rejected }): Made => {
    const [better, worse] = [toMessages(chosen), toMessages(rejected)]
    const [answer, other] = [better.at(-1), worse.at(-1)]
    if (answer?.role !== "assistant" || other?.role !== "assistant") return "a side ends with no answer"
    if (answer.content === "" || other.content === "") return "a response is empty"
    if (answer.content === other.content) return "both responses are the same"
    return [
      {
        prompt: better.slice(0, -1),
        chosen: [answer],
        rejected: [other],
        chosen_reward: score_chosen,
        rejected_reward: score_rejected
      }
    ]
  }
)

export const ultraFeedback: Converter = {
  name: "ultrafeedback",
  summary: "openbmb/UltraFeedback (best against worst by mean rating) and HuggingFaceH4/ultrafeedback_binarized",
  makes: { preferences: rowByRow(original, binarized) }
}
