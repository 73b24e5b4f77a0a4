import { Effect, Schema } from "effect"
import { attempt } from "../errors.ts"
import { type RawRow, readRows } from "../files/read-rows.ts"
import { asMessages, ConversationField, MessagesField, toConversation, toMessages } from "./fields.ts"
import { decodeRow, type Form, form, notEmpty, originOf } from "./forms.ts"
import type { Conversation, SupervisedRecord } from "./records.ts"

/**
 * Rows to imitate. Field names, the first that fit:
 * messages · conversations · prompt + completion | response | chosen | chosen_response (of a preference file) ·
 * input + output · question + answer · text. Texts are taken as they are: nothing is put between prompt and completion.
 */
export const loadSupervised = Effect.fn("loadSupervised")(function* (path: string) {
  const rows = yield* readRows(path)
  return yield* attempt(() => rows.map((row) => decodeRow(SUPERVISED_FORMS, row)))
})

const record = (row: RawRow, value: Partial<SupervisedRecord>): SupervisedRecord => {
  const numbers = Object.entries(row.value).filter(([, field]) => typeof field === "number")
  const attributes = numbers.length === 0 ? {} : { attributes: Object.fromEntries(numbers) }
  return { ...value, ...attributes, origin: originOf(row) } as SupervisedRecord
}

const completionForm = (promptName: string, completionName: string): Form<SupervisedRecord> =>
  form({ [promptName]: ConversationField, [completionName]: ConversationField }, {}, (values, row) => {
    const prompt = toConversation(values[promptName]!)
    const completion = notEmpty(row, completionName, toConversation(values[completionName]!))
    return record(row, { kind: "completion", ...sameKind(prompt, completion) })
  })

const chatForm = (name: string): Form<SupervisedRecord> =>
  form({ [name]: MessagesField }, { system: Schema.String }, (values, row) => {
    const messages = notEmpty(row, name, toMessages(values[name] as typeof MessagesField.Type))
    const system = typeof values.system === "string" && values.system !== "" ? values.system : undefined
    const all = system === undefined ? messages : [{ role: "system", content: system }, ...messages]
    return record(row, { kind: "chat", messages: all })
  })

/** A string beside a message list becomes a message of its side. */
export const sameKind = (prompt: Conversation, completion: Conversation) =>
  typeof prompt === "string" && typeof completion === "string"
    ? { prompt, completion }
    : { prompt: asMessages(prompt, "user"), completion: asMessages(completion, "assistant") }

/** Also read by the loader of rows that are to be judged. */
export const SUPERVISED_FORMS: ReadonlyArray<Form<SupervisedRecord>> = [
  chatForm("messages"),
  chatForm("conversations"),
  completionForm("prompt", "completion"),
  completionForm("prompt", "response"),
  completionForm("prompt", "chosen"),
  completionForm("prompt", "chosen_response"),
  completionForm("input", "output"),
  completionForm("question", "answer"),
  form({ text: Schema.String }, {}, ({ text }, row) => record(row, { kind: "text", text: notEmpty(row, "text", text) }))
]
