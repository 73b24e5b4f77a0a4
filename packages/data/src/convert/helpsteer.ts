import { Schema } from "effect"
import type { RawRow } from "../files/read-rows.ts"
import { MessagesField, toMessages } from "../records/fields.ts"
import { decodeRow, form, originOf } from "../records/forms.ts"
import type { Message } from "../records/records.ts"
import { assistant, type Conversion, type Converter, gathered, type Made, rowByRow, user } from "./converter.ts"
import { bestAgainstWorst, judgedPair } from "./ranked-pairs.ts"

export const HELPSTEER_ATTRIBUTES = ["helpfulness", "correctness", "coherence", "complexity", "verbosity"] as const

type Attributes = Readonly<Record<(typeof HELPSTEER_ATTRIBUTES)[number], number>>

const Grade = Schema.Finite
const grades = {
  helpfulness: Grade,
  correctness: Grade,
  coherence: Grade,
  complexity: Grade,
  verbosity: Grade
}

const gradesOf = (values: Attributes): Attributes => {
  const { coherence, complexity, correctness, helpfulness, verbosity } = values
  return { helpfulness, correctness, coherence, complexity, verbosity }
}

/** Prompts of several turns are one text, in which `<extra_id_1>Assistant` and `<extra_id_1>User` begin turns. */
const turnsOf = (prompt: string): ReadonlyArray<Message> => {
  const [first, ...rest] = prompt.split("<extra_id_1>")
  const later = rest.map((part) => {
    const end = part.indexOf("\n")
    const [name, text] = end < 0 ? [part, ""] : [part.slice(0, end), part.slice(end + 1)]
    return name.trim() === "Assistant" ? assistant(text.trim()) : user(text.trim())
  })
  return [user(first!.trim()), ...later.filter(({ content }) => content !== "")]
}

const graded = form(
  { prompt: Schema.String, response: Schema.String, ...grades },
  {},
  ({ prompt, response, ...attributes }) => ({ prompt, response, attributes: gradesOf(attributes) })
)

const attributeRows: Conversion = (rows) =>
  gathered(
    rows.map((row) => {
      const { attributes, prompt, response } = decodeRow([graded], row)
      const written = { prompt: turnsOf(prompt), completion: [assistant(response)], ...attributes }
      return { origin: originOf(row), made: response.trim() === "" ? "the response is empty" : [written] }
    })
  )

/** Responses to one prompt stand in rows of their own: the most helpful against the least helpful. */
const helpfulnessPairs: Conversion = (rows) => {
  const groups = new Map<string, Array<{ readonly row: RawRow; readonly content: string; readonly score: number }>>()
  for (const row of rows) {
    const { attributes, prompt, response } = decodeRow([graded], row)
    const group = groups.get(prompt) ?? []
    groups.set(prompt, [...group, { row, content: response, score: attributes.helpfulness }])
  }
  return gathered(
    [...groups].map(([prompt, responses]) => ({
      origin: originOf(responses[0]!.row),
      made: bestAgainstWorst(turnsOf(prompt), responses, true)
    }))
  )
}

const ofHelpSteer2 = form(
  {
    prompt: Schema.String,
    response_1: Schema.String,
    response_2: Schema.String,
    preference_strength: Schema.Finite
  },
  {},
  ({ preference_strength, prompt, response_1, response_2 }): Made =>
    judgedPair(turnsOf(prompt), response_1, response_2, preference_strength)
)

const ofHelpSteer3 = form(
  { context: MessagesField, response1: Schema.String, response2: Schema.String, overall_preference: Schema.Finite },
  {},
  ({ context, overall_preference, response1, response2 }): Made =>
    judgedPair(toMessages(context), response1, response2, overall_preference)
)

const edited = (better: string, worse: string) =>
  form({ context: MessagesField, [better]: Schema.String, [worse]: Schema.String }, {}, (values): Made =>
    [values[better], values[worse]].some((text) => (text as string).trim() === "")
      ? "a response is empty"
      : [
          {
            prompt: toMessages(values["context"] as typeof MessagesField.Type),
            chosen: [assistant(values[better] as string)],
            rejected: [assistant(values[worse] as string)]
          }
        ]
  )

export const helpSteer: Converter = {
  name: "helpsteer",
  summary: "nvidia/HelpSteer: a response and its five grades a row",
  makes: { attributes: attributeRows, preferences: helpfulnessPairs }
}

export const helpSteer2: Converter = {
  name: "helpsteer2",
  summary: "nvidia/HelpSteer2: a response and its five grades a row, responses to one prompt in rows of their own",
  makes: { attributes: attributeRows, preferences: helpfulnessPairs }
}

export const helpSteer2Preference: Converter = {
  name: "helpsteer2-preference",
  summary: "nvidia/HelpSteer2, preference/: two responses and how much the second is better, from -3 to 3",
  makes: { preferences: rowByRow(ofHelpSteer2) }
}

export const helpSteer3: Converter = {
  name: "helpsteer3",
  summary: "nvidia/HelpSteer3, preference/, edit/ and edit_quality/",
  makes: {
    preferences: rowByRow(
      ofHelpSteer3,
      edited("edited_response", "original_response"),
      edited("good_edited_response", "bad_edited_response")
    )
  }
}
