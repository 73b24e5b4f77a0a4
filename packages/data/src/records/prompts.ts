import { Effect, Schema } from "effect"
import { attempt, MalformedRecord } from "../errors.ts"
import { type RawRow, readRows } from "../files/read-rows.ts"
import { ConversationField, MessagesField, toConversation, toMessages } from "./fields.ts"
import { decodeRow, type Form, form, originOf } from "./forms.ts"
import type { Conversation, PromptRecord } from "./records.ts"

/**
 * What to continue, score or tokenize: input_ids · messages | conversations · prompt · text · input · question,
 * the first that the row has.
 */
export const loadPrompts = Effect.fn("loadPrompts")(function* (path: string) {
  const rows = yield* readRows(path)
  return yield* attempt(() => rows.map((row) => decodeRow(FORMS, row)))
})

/** Of any vocabulary. */
export const TokenId = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 31 - 1 }))

/** @throws MalformedRecord where a chat has no messages, of which a template would make one with nobody */
const promptOf = (conversation: Conversation, row: RawRow, field: string): PromptRecord => {
  if (typeof conversation === "string") return { kind: "text", text: conversation, ...provenance(row) }
  if (conversation.length > 0) return { kind: "chat", messages: conversation, ...provenance(row) }
  throw new MalformedRecord({ ...originOf(row), field, reason: "has no messages" })
}

const provenance = (row: RawRow) => ({ fields: row.value, origin: originOf(row) })

const conversationForm = (name: string): Form<PromptRecord> =>
  form({ [name]: ConversationField }, {}, (values, row) =>
    promptOf(toConversation(values[name] as typeof ConversationField.Type), row, name)
  )

const messagesForm = (name: string): Form<PromptRecord> =>
  form({ [name]: MessagesField }, {}, (values, row) =>
    promptOf(toMessages(values[name] as typeof MessagesField.Type), row, name)
  )

const FORMS: ReadonlyArray<Form<PromptRecord>> = [
  form({ input_ids: Schema.Array(TokenId) }, {}, ({ input_ids }, row) => ({
    kind: "ids" as const,
    ids: Int32Array.from(input_ids),
    ...provenance(row)
  })),
  messagesForm("messages"),
  messagesForm("conversations"),
  conversationForm("prompt"),
  form({ text: Schema.String }, {}, ({ text }, row) => promptOf(text, row, "text")),
  conversationForm("input"),
  conversationForm("question")
]
