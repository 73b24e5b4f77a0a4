import { Effect, Schema } from "effect"
import { attempt } from "../errors.ts"
import { readRows } from "../files/read-rows.ts"
import { asMessages, ConversationField, toConversation } from "./fields.ts"
import { decodeRow, type Form, form, notEmpty, originOf } from "./forms.ts"
import { extractPrompt } from "./implicit-prompt.ts"
import type { Conversation, PreferenceRecord } from "./records.ts"

/**
 * Pairs of a better and a worse response: [prompt +] chosen + rejected, or NeMo-Aligner's [prompt +] chosen_response +
 * rejected_response; with chosen_reward and rejected_reward where the row has them. Without a prompt it is what
 * both sides begin with.
 */
export const loadPreferences = Effect.fn("loadPreferences")(function* (path: string) {
  const rows = yield* readRows(path)
  return yield* attempt(() => rows.map((row) => decodeRow(PREFERENCE_FORMS, row)))
})

interface Sides {
  readonly prompt: Conversation
  readonly chosen: Conversation
  readonly rejected: Conversation
}

const preferenceForm = (chosenName: string, rejectedName: string): Form<PreferenceRecord> =>
  form(
    { [chosenName]: ConversationField, [rejectedName]: ConversationField },
    { prompt: ConversationField, chosen_reward: Schema.Finite, rejected_reward: Schema.Finite },
    (values, row) => {
      const sides = explicitPrompt(
        values.prompt === undefined ? undefined : toConversation(values.prompt as typeof ConversationField.Type),
        toConversation(values[chosenName] as typeof ConversationField.Type),
        toConversation(values[rejectedName] as typeof ConversationField.Type)
      )
      notEmpty(row, chosenName, sides.chosen)
      notEmpty(row, rejectedName, sides.rejected)
      return { ...sides, ...rewards(values), origin: originOf(row) }
    }
  )

const explicitPrompt = (prompt: Conversation | undefined, chosen: Conversation, rejected: Conversation): Sides => {
  if (typeof chosen === "string" && typeof rejected === "string") {
    if (prompt === undefined) return extractPrompt(chosen, rejected)
    if (typeof prompt === "string") return { prompt, chosen, rejected }
  }
  const [better, worse] = [asMessages(chosen, "assistant"), asMessages(rejected, "assistant")]
  // a prompt string that both sides repeat as their first user turn is not a second question
  if (
    prompt === undefined ||
    (typeof prompt === "string" && better[0]?.role === "user" && better[0].content === prompt)
  ) {
    return extractPrompt(better, worse)
  }
  return { prompt: asMessages(prompt, "user"), chosen: better, rejected: worse }
}

const rewards = (values: { readonly chosen_reward?: unknown; readonly rejected_reward?: unknown }) => ({
  ...(typeof values.chosen_reward === "number" ? { chosenReward: values.chosen_reward } : {}),
  ...(typeof values.rejected_reward === "number" ? { rejectedReward: values.rejected_reward } : {})
})

/** Also read by the unpaired loader, which takes a pair for two judged responses. */
export const PREFERENCE_FORMS: ReadonlyArray<Form<PreferenceRecord>> = [
  preferenceForm("chosen", "rejected"),
  preferenceForm("chosen_response", "rejected_response")
]
