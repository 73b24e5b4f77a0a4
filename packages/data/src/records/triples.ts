import { Effect } from "effect"
import { attempt, MalformedRecord } from "../errors.ts"
import { type RawRow, readRows } from "../files/read-rows.ts"
import { asMessages, ConversationField, toConversation } from "./fields.ts"
import { decodeRow, type Form, form, notEmpty, originOf } from "./forms.ts"
import { PREFERENCE_FORMS } from "./preferences.ts"
import type { Conversation, TripleRecord } from "./records.ts"

/**
 * Pairs with a gold response: the fields of a pair, and `reference`. Where the prompt is what both sides begin with, the
 * gold response begins with it, too.
 */
export const loadTriples = Effect.fn("loadTriples")(function* (path: string) {
  const rows = yield* readRows(path)
  return yield* attempt(() => rows.map((row) => decodeRow(FORMS, row)))
})

const goldForm: Form<Conversation> = form({ reference: ConversationField }, {}, ({ reference }) =>
  toConversation(reference)
)

const FORMS: ReadonlyArray<Form<TripleRecord>> = PREFERENCE_FORMS.map(({ decode, optional, required }) => ({
  optional,
  required: [...required, "reference"],
  decode: (row) => {
    const pair = decode(row)
    const whole = goldForm.decode(row)
    const gold = row.value["prompt"] == null ? afterPrompt(row, pair.prompt, whole) : whole
    return { ...pair, gold: notEmpty(row, "reference", gold) }
  }
}))

/** @throws MalformedRecord where `whole` does not begin with the prompt */
const afterPrompt = (row: RawRow, prompt: Conversation, whole: Conversation): Conversation => {
  if (typeof prompt === "string" && typeof whole === "string") {
    if (whole.startsWith(prompt)) return whole.slice(prompt.length)
  } else {
    const [question, all] = [asMessages(prompt, "user"), asMessages(whole, "assistant")]
    const begins = question.every(
      ({ content, role }, turn) => all[turn]?.role === role && all[turn].content === content
    )
    if (begins) return all.slice(question.length)
  }
  const reason = "does not begin with the prompt that chosen and rejected share"
  throw new MalformedRecord({ ...originOf(row), field: "reference", reason })
}
