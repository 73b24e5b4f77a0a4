import type { DataError, Message } from "@plumbline/data"
import { Effect } from "effect"
import { badField, RequestRefused } from "../shell/request-refused.ts"
import { asks, isObject } from "./decode-request.ts"

/** A call as templates read it: `arguments` is what the JSON of OpenAI's API says. */
interface GivenCall {
  readonly id?: string
  readonly type: "function"
  readonly function: { readonly name: string; readonly arguments: object }
}

interface ToolMessage extends Message {
  readonly tool_calls?: ReadonlyArray<GivenCall>
  readonly tool_call_id?: string
}

/** Fields of a message beside its role and content that say nothing to a model; clients send answers back with them. */
const SILENT: ReadonlySet<string> = new Set(["name", "refusal", "annotations"])

/**
 * The messages of a chat: `[{ role, content }]`, a content being a text or a list of `{ type: "text", text }`.
 *
 * @param withTools whether the model's template takes calls of tools and what they gave
 */
export const readMessages = (
  value: unknown,
  withTools: boolean
): Effect.Effect<ReadonlyArray<Message>, RequestRefused> => {
  if (!Array.isArray(value) || value.length === 0) {
    return Effect.fail(badField("messages", "must be a list of at least one message, { role, content }"))
  }
  const messages: Array<Message> = []
  for (const [i, one] of value.entries()) {
    const read = readMessage(one, `messages[${i}]`, withTools)
    if (read instanceof RequestRefused) return Effect.fail(read)
    messages.push(read)
  }
  return Effect.succeed(messages)
}

const readCalls = (called: ReadonlyArray<unknown>, place: string): ReadonlyArray<GivenCall> | RequestRefused => {
  const calls: Array<GivenCall> = []
  for (const [i, one] of called.entries()) {
    const call = readCall(one, `${place}[${i}]`)
    if (call instanceof RequestRefused) return call
    calls.push(call)
  }
  return calls
}

const readCall = (value: unknown, place: string): GivenCall | RequestRefused => {
  const { function: called, id, type = "function" } = isObject(value) ? value : {}
  const { arguments: text, name } = isObject(called) ? called : {}
  if (type !== "function" || typeof name !== "string" || typeof text !== "string") {
    return badField(place, 'must be { "id": …, "type": "function", "function": { "name": …, "arguments": … } }')
  }
  const given = objectIn(text)
  if (given === undefined) return badField(`${place}.function.arguments`, "must be the JSON of an object")
  return { ...(typeof id === "string" ? { id } : {}), type, function: { name, arguments: given } }
}

const objectIn = (text: string): object | undefined => {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

const readMessage = (value: unknown, place: string, withTools: boolean): ToolMessage | RequestRefused => {
  if (!isObject(value)) return badField(place, "must be an object, { role, content }")
  const { role } = value
  const tools: ReturnType<typeof toolFields> = withTools ? toolFields(value) : {}
  for (const field in value) {
    if (field === "role" || field === "content" || Object.hasOwn(tools, field) || !isSaid(value, field)) continue
    return badField(`${place}.${field.slice(0, 200)}`, "is not read: messages are texts", "unsupported_parameter")
  }
  if (typeof role !== "string" || role === "") return badField(`${place}.role`, "must be a text")
  // whoever calls may say nothing
  const said = tools.tool_calls === undefined ? value["content"] : (value["content"] ?? "")
  const content = readContent(said, `${place}.content`)
  if (content instanceof RequestRefused) return content
  const { tool_calls: called, ...answered } = tools
  if (called === undefined) return { role, content, ...answered }
  const calls = readCalls(called, `${place}.tool_calls`)
  return calls instanceof RequestRefused ? calls : { role, content, tool_calls: calls }
}

/** What a message says of tools: what the assistant calls, or which call it answers. */
const toolFields = ({ role, tool_call_id: answered, tool_calls: called }: Readonly<Record<string, unknown>>) => ({
  ...(role === "assistant" && Array.isArray(called) && called.length > 0 ? { tool_calls: called } : {}),
  ...(role === "tool" && typeof answered === "string" ? { tool_call_id: answered } : {})
})

const readContent = (content: unknown, place: string): string | RequestRefused => {
  if (typeof content === "string") return content
  if (!Array.isArray(content)) return badField(place, "must be a text or a list of text parts")
  const wrong = content.findIndex((part) => textOf(part) === undefined)
  if (wrong < 0) return content.map(textOf).join("")
  return badField(`${place}[${wrong}]`, 'must be { "type": "text", "text": … }: the model reads text')
}

/** Not what is off: Mistral's client says `prefix: false` of every answer that it sends back. */
const isSaid = (message: Readonly<Record<string, unknown>>, field: string): boolean =>
  message[field] !== null && message[field] !== false && !SILENT.has(field) && asks(message[field])

const textOf = (part: unknown): string | undefined =>
  isObject(part) && part["type"] === "text" && typeof part["text"] === "string" ? part["text"] : undefined

/** Messages that the model's template refuses. Its file, which the error's own message names, is no affair of a client. */
export const badMessages = (param: string, error: DataError): RequestRefused => {
  const reason = error._tag === "ChatTemplateInvalid" ? `the model's chat template: ${error.reason}` : "cannot be read"
  return badField(param, reason, "invalid_messages")
}
