import { loadTokenizer } from "@plumbline/data"
import { needed, option, optional } from "@plumbline/training"
import { Effect, Schema } from "effect"
import type { CommandLine } from "../command-line.ts"
import type { CommandRun } from "../command.ts"
import { parseCommand } from "../parse-command.ts"
import { asChats, readInput, tokenIds } from "../prompt-input.ts"
import { textTable } from "../table.ts"
import { print, printJson, textWidth } from "../terminal.ts"

const Options = Schema.Struct({
  model: needed(Schema.NonEmptyString, "model folder with tokenizer.json"),
  text: optional(Schema.String, "text to tokenize"),
  input: optional(Schema.NonEmptyString, "JSONL file: text, messages, prompt or input_ids a row"),
  chat: option(Schema.Boolean, false, "texts are chats as JSON, rendered by the chat template"),
  json: option(Schema.Boolean, false, "one JSON object a row: input_ids, text")
})

const line: CommandLine<typeof Options> = {
  name: "tokenize",
  usage: "--model DIR (--text TEXT | --input FILE) [--chat] [--json]",
  summary: "token ids of texts and chats, and the ids decoded again",
  arguments: [],
  options: Options,
  group: () => "Options",
  configFile: false
}

/** Prints token ids. */
export const tokenizeCommand: CommandRun = (argv) =>
  Effect.gen(function* () {
    const { options } = yield* parseCommand(line, argv)
    const { chat, input, json, model, text } = options
    const rows = yield* readInput({ command: "tokenize", flag: "text", text, input })
    const tokenizer = yield* loadTokenizer(model)
    for (const record of chat ? yield* asChats(rows) : rows) {
      const ids = yield* tokenIds(tokenizer, record)
      if (json) yield* printJson({ input_ids: [...ids], text: tokenizer.decode(ids) })
      else yield* print(`${tokenTable(ids, (id) => tokenizer.decode([id]))}\n`)
    }
  })

const tokenTable = (ids: Int32Array, textOf: (id: number) => string): string =>
  textTable(
    [{ title: "position", align: "right" }, { title: "id", align: "right" }, { title: "token" }],
    Array.from(ids, (id, position) => [String(position), String(id), JSON.stringify(textOf(id))]),
    textWidth()
  )
