import { Schema } from "effect"
import { form } from "../records/forms.ts"
import { type Converter, type Made, rowByRow } from "./converter.ts"
import { bestAgainstWorst } from "./ranked-pairs.ts"
import { transcriptTurns } from "./transcript.ts"

const Answer = Schema.Struct({ answer: Schema.String, rank: Schema.Finite })

const ranked = form({ prompt: Schema.String, answers: Schema.Array(Answer) }, {}, ({ answers, prompt }): Made => {
  const turns = transcriptTurns(prompt)
  if (turns.at(-1)?.role !== "user") return "the prompt ends with no question"
  const responses = answers.map(({ answer, rank }) => ({ content: answer.trim(), score: -rank }))
  return bestAgainstWorst(turns, responses, false)
})

export const nectar: Converter = {
  name: "nectar",
  summary: "berkeley-nest/Nectar: seven ranked answers to a prompt, the best against the worst",
  makes: { preferences: rowByRow(ranked) }
}
