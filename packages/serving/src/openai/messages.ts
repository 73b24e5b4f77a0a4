import type { DataError, Message } from "@plumbline/data"
import { Effect, Schema } from "effect"
import { badField, type RequestRefused } from "../shell/request-refused.ts"
import { asks } from "./decode-request.ts"

/** Fields of a message beside its role and content that say nothing to a model; clients send answers back with them. */
const SILENT: ReadonlySet<string> = new Set(["name", "refusal", "annotations"])

const isObject = Schema.is(Schema.Record(Schema.String, Schema.Unknown))

/** The messages of a chat: `[{ role, content }]`, a content being a text or a list of `{ type: "text", text }`. */
export const readMessages = (value: unknown): Effect.Effect<ReadonlyArray<Message>, RequestRefused> => {
  if (!Array.isArray(value) || value.length === 0) {
    return Effect.fail(badField("messages", "must be a list of at least one message, { role, content }"))
  }
  return Effect.forEach(value, readMessage)
}

const readMessage = (value: unknown, i: number): Effect.Effect<Message, RequestRefused> => {
  const place = `messages[${i}]`
  if (!isObject(value)) return Effect.fail(badField(place, "must be an object, { role, content }"))
  const { content, role } = value
  const other = Object.keys(value).find((field) => field !== "role" && field !== "content" && isSaid(value, field))
  if (other !== undefined) {
    return Effect.fail(badField(`${place}.${other}`, "is not read: messages are texts", "unsupported_parameter"))
  }
  if (typeof role !== "string" || role === "") return Effect.fail(badField(`${place}.role`, "must be a text"))
  if (typeof content === "string") return Effect.succeed({ role, content })
  if (!Array.isArray(content))
    return Effect.fail(badField(`${place}.content`, "must be a text or a list of text parts"))
  const wrong = content.findIndex((part) => textOf(part) === undefined)
  if (wrong < 0) return Effect.succeed({ role, content: content.map(textOf).join("") })
  return Effect.fail(
    badField(`${place}.content[${wrong}]`, 'must be { "type": "text", "text": … }: the model reads text')
  )
}

const isSaid = (message: Readonly<Record<string, unknown>>, field: string): boolean =>
  message[field] !== null && !SILENT.has(field) && asks(message[field])

const textOf = (part: unknown): string | undefined =>
  isObject(part) && part["type"] === "text" && typeof part["text"] === "string" ? part["text"] : undefined

/** Messages that the model's template refuses. Its file, which the error's own message names, is no affair of a client. */
export const badMessages = (param: string, error: DataError): RequestRefused => {
  const reason = error._tag === "ChatTemplateInvalid" ? `the model's chat template: ${error.reason}` : "cannot be read"
  return badField(param, reason, "invalid_messages")
}
