import { Schema } from "effect"
import { form } from "../records/forms.ts"
import type { Message } from "../records/records.ts"
import { type Converter, type Made, rowByRow } from "./converter.ts"

const Turn = Schema.Struct({ from: Schema.String, value: Schema.String })

const ROLES: Readonly<Record<string, string>> = {
  system: "system",
  human: "user",
  user: "user",
  gpt: "assistant",
  chatgpt: "assistant",
  bing: "assistant",
  bard: "assistant",
  assistant: "assistant"
}

const chat = form({ conversations: Schema.Array(Turn) }, {}, ({ conversations }): Made => {
  const unknown = conversations.find(({ from }) => ROLES[from] === undefined)
  if (unknown !== undefined) return `nobody knows the role "${unknown.from}"`
  const turns = conversations.map(({ from, value }): Message => ({ role: ROLES[from]!, content: value.trim() }))
  const messages = fromFirstQuestion(turns.slice(0, turns.findLastIndex(({ role }) => role === "assistant") + 1))
  if (messages.length < 2) return "no answer of the assistant after a question"
  if (messages.some(({ content }) => content === "")) return "a turn is empty"
  return takesTurns(messages) ? [{ messages }] : "the sides do not take turns"
})

/** Answers before the first question are scraps of a longer chat; a system message stays. */
const fromFirstQuestion = (turns: ReadonlyArray<Message>): ReadonlyArray<Message> => {
  const question = turns.findIndex(({ role }) => role === "user")
  if (question < 0) return []
  return turns[0]!.role === "system" ? [turns[0]!, ...turns.slice(question)] : turns.slice(question)
}

const takesTurns = (messages: ReadonlyArray<Message>): boolean =>
  messages
    .filter(({ role }, i) => !(i === 0 && role === "system"))
    .every(({ role }, i) => role === (i % 2 === 0 ? "user" : "assistant"))

export const shareGpt: Converter = {
  name: "sharegpt",
  summary: "ShareGPT: conversations of human and gpt",
  makes: { demonstrations: rowByRow(chat) }
}
