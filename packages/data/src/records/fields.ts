import { Schema } from "effect"
import type { Conversation, Message } from "./records.ts"

const ContentPart = Schema.Struct({ type: Schema.String, text: Schema.optionalKey(Schema.String) })
const Content = Schema.NullOr(Schema.Union([Schema.String, Schema.Array(ContentPart)]))

/** OpenAI's `{role, content}`. */
const RoleMessage = Schema.Struct({ role: Schema.String, content: Schema.optionalKey(Content) })
/** ShareGPT's and NeMo-Aligner's `{from, value}`. */
const FromMessage = Schema.Struct({ from: Schema.String, value: Schema.String })

export const MessageField = Schema.Union([RoleMessage, FromMessage])
export const MessagesField = Schema.Array(MessageField)
export const ConversationField = Schema.Union([Schema.String, MessageField, MessagesField])

type RawMessage = typeof MessageField.Type
type RawConversation = typeof ConversationField.Type

const ROLES: Readonly<Record<string, string>> = {
  human: "user",
  gpt: "assistant",
  User: "user",
  Assistant: "assistant"
}

export const toMessage = (raw: RawMessage): Message =>
  "from" in raw
    ? { role: ROLES[raw.from] ?? raw.from, content: raw.value }
    : { role: raw.role, content: contentText(raw.content) }

export const toMessages = (raw: ReadonlyArray<RawMessage>): ReadonlyArray<Message> => raw.map(toMessage)

export const toConversation = (raw: RawConversation): Conversation => {
  if (typeof raw === "string") return raw
  return Array.isArray(raw) ? toMessages(raw as ReadonlyArray<RawMessage>) : [toMessage(raw as RawMessage)]
}

/** Text parts joined; what has no text (images, tool calls) contributes none. */
const contentText = (content: typeof Content.Type | undefined): string => {
  if (typeof content === "string") return content
  return (content ?? []).map((part) => part.text ?? "").join("")
}

/** No message, or only messages without text. */
export const isEmpty = (conversation: Conversation): boolean =>
  typeof conversation === "string" ? conversation === "" : conversation.every((message) => message.content === "")

export const asMessages = (conversation: Conversation, role: string): ReadonlyArray<Message> =>
  typeof conversation === "string" ? [{ role, content: conversation }] : conversation
