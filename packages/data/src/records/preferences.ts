import { Effect, Schema } from "effect"
import { attempt, MalformedRecord } from "../errors.ts"
import { readRows } from "../files/read-rows.ts"
import { asMessages, ConversationField, toConversation } from "./fields.ts"
import { decodeRow, type Form, form, notEmpty, originOf } from "./forms.ts"
import { extractPrompt } from "./implicit-prompt.ts"
import type { Conversation, PreferenceRecord } from "./records.ts"

/**
 * Pairs of a better and a worse response: [prompt +] chosen + rejected, or NeMo-Aligner's [prompt +] chosen_response +
 * rejected_response; with chosen_reward and rejected_reward, margin, preference_strength and
 * subset where the row has them. Without a prompt it is what both sides begin with. Or HelpSteer2's prompt + response_1 + response_2 +
 * preference_strength, negative where the first is better.
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
    {
      prompt: ConversationField,
      chosen_reward: Schema.Finite,
      rejected_reward: Schema.Finite,
      margin: Schema.Finite,
      preference_strength: Schema.Finite,
      subset: Schema.String
    },
    (values, row) => {
      const sides = explicitPrompt(
        values.prompt === undefined ? undefined : toConversation(values.prompt as typeof ConversationField.Type),
        toConversation(values[chosenName] as typeof ConversationField.Type),
        toConversation(values[rejectedName] as typeof ConversationField.Type)
      )
      notEmpty(row, chosenName, sides.chosen)
      notEmpty(row, rejectedName, sides.rejected)
      if (sides.prompt.length === 0 && asks(sides.chosen) && asks(sides.rejected)) {
        const reason = `begins with other messages than ${rejectedName}: a pair needs one prompt`
        throw new MalformedRecord({ ...originOf(row), field: chosenName, reason })
      }
      const subset = typeof values.subset === "string" ? { subset: values.subset } : {}
      return { ...sides, ...rewards(values), ...distances(values), ...subset, origin: originOf(row) }
    }
  )

/** A strength of 0 makes the second response the chosen one, as in NeMo-Aligner; what weighs by strength weighs it 0. */
const ratedPair: Form<PreferenceRecord> = form(
  {
    prompt: ConversationField,
    response_1: ConversationField,
    response_2: ConversationField,
    preference_strength: Schema.Finite
  },
  {},
  ({ preference_strength, prompt, response_1, response_2 }, row) => {
    const [first, second] = [notEmpty(row, "response_1", toConversation(response_1)), toConversation(response_2)]
    notEmpty(row, "response_2", second)
    const [chosen, rejected] = preference_strength < 0 ? [first, second] : [second, first]
    const sides = explicitPrompt(toConversation(prompt), chosen, rejected)
    return { ...sides, strength: Math.abs(preference_strength), origin: originOf(row) }
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

/** A response that begins with a question of its own. */
const asks = (response: Conversation): boolean => typeof response !== "string" && response[0]?.role === "user"

const rewards = (values: { readonly chosen_reward?: unknown; readonly rejected_reward?: unknown }) => ({
  ...(typeof values.chosen_reward === "number" ? { chosenReward: values.chosen_reward } : {}),
  ...(typeof values.rejected_reward === "number" ? { rejectedReward: values.rejected_reward } : {})
})

const distances = (values: { readonly margin?: unknown; readonly preference_strength?: unknown }) => ({
  ...(typeof values.margin === "number" ? { margin: values.margin } : {}),
  ...(typeof values.preference_strength === "number" ? { strength: Math.abs(values.preference_strength) } : {})
})

/** Also read by the unpaired loader, which takes a pair for two judged responses. */
export const PREFERENCE_FORMS: ReadonlyArray<Form<PreferenceRecord>> = [
  preferenceForm("chosen", "rejected"),
  preferenceForm("chosen_response", "rejected_response"),
  ratedPair
]
