import {
  attempt,
  loadPrompts,
  type Message,
  type PromptRecord,
  renderingRow,
  type TokenizerShape
} from "@plumbline/data"
import { Effect, Schema } from "effect"
import { UsageError } from "./usage-error.ts"

/** What a command is to work on: one text of the command line, or the rows of a file. */
export interface InputOptions {
  /** Name of the flag with the text. */
  readonly flag: "text" | "prompt"
  readonly text: string | undefined
  readonly input: string | undefined
  readonly command: string
}

/** The text of the command line or the rows of the input file; exactly one of them must be given. */
export const readInput = Effect.fnUntraced(function* ({ command, flag, input, text }: InputOptions) {
  if ((text === undefined) === (input === undefined)) {
    const problems = [`give one of --${flag} TEXT and --input FILE`]
    return yield* new UsageError({ problems, help: `plumb ${command} --help lists the options` })
  }
  const records: ReadonlyArray<PromptRecord> =
    input === undefined ? [{ kind: "text", text: text! }] : yield* loadPrompts(input)
  return records
})

/** A text that should be a chat is not one. */
export class ChatUnreadable extends Schema.TaggedError<ChatUnreadable>()("ChatUnreadable", {
  place: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.place}: expected a chat as JSON, [{"role": "user", "content": "…"}, …]; ${this.reason}`
  }
}

const ChatMessage = Schema.Struct({ role: Schema.String, content: Schema.String })
const Chat = Schema.Union([Schema.Array(ChatMessage), Schema.Struct({ messages: Schema.Array(ChatMessage) })])
const decodeChat = Schema.decodeUnknownEffect(Schema.fromJsonString(Chat))

/** Texts as the chats that they hold as JSON; chats stay what they are. */
export const asChats = (records: ReadonlyArray<PromptRecord>) =>
  Effect.forEach(records, (record) => {
    if (record.kind !== "text") return Effect.succeed(record)
    return decodeChat(record.text).pipe(
      Effect.mapError(({ message }) => new ChatUnreadable({ place: placeOf(record), reason: message })),
      Effect.map((chat): PromptRecord => {
        const messages: ReadonlyArray<Message> = "messages" in chat ? chat.messages : chat
        return { ...record, kind: "chat", messages }
      })
    )
  })

/** File and line of a record, or the command line. */
export const placeOf = ({ origin }: PromptRecord): string =>
  origin === undefined ? "the text" : `${origin.file}, line ${origin.line}`

/** [T] int32: a text with what the tokenizer adds to one, a chat as its template renders it. */
export const tokenIds = (tokenizer: TokenizerShape, record: PromptRecord) =>
  attempt((): Int32Array => {
    if (record.kind === "ids") return record.ids
    if (record.kind === "text") return tokenizer.encode(record.text)
    const render = () => tokenizer.renderChat(record.messages, { addGenerationPrompt: false })
    return tokenizer.encode(renderingRow(record.origin, render), { addSpecialTokens: false })
  })
