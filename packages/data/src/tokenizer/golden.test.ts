import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"
import { describe, expect, it } from "vitest"
import type { Message } from "../records/records.ts"
import { loadTokenizer } from "./load-tokenizer.ts"

/** Checkpoints saved by transformers 5.17 with what its tokenizers gave; not part of the repository. */
const GOLDEN = join(import.meta.dirname, "../../../../../shared/golden/models")

interface Expected {
  readonly tokenizer: ReadonlyArray<{
    readonly text: string
    readonly ids: ReadonlyArray<number>
    readonly decoded: string
  }>
  readonly chat: {
    readonly messages: ReadonlyArray<Message>
    readonly rendered: string
    readonly ids: ReadonlyArray<number>
    readonly generation_prompt: string
  }
}

describe.skipIf(!existsSync(GOLDEN)).each([
  ["llama", "tiktoken"],
  ["llama-spm", "huggingface"],
  ["nemotron", "tiktoken"],
  ["mixtral", "tiktoken"]
])("golden %s", (model, engine) => {
  const open = () => Effect.runPromise(loadTokenizer(join(GOLDEN, model)))
  const expected = () => JSON.parse(readFileSync(join(GOLDEN, model, "expected.json"), "utf8")) as Expected

  it(`gives every probe's ids and text on ${engine}`, async () => {
    const tokenizer = await open()
    expect(tokenizer.name.startsWith(engine)).toBe(true)
    for (const { text, ids, decoded } of expected().tokenizer) {
      expect([...tokenizer.encode(text)]).toEqual(ids)
      expect(tokenizer.decode(ids)).toBe(decoded)
    }
  })

  it("renders and tokenizes the chat", async () => {
    const tokenizer = await open()
    const { messages, rendered, ids, generation_prompt } = expected().chat
    expect(tokenizer.renderChat(messages, { addGenerationPrompt: false })).toBe(rendered)
    expect(tokenizer.renderChat(messages.slice(0, 1), { addGenerationPrompt: true })).toBe(generation_prompt)
    const chat = tokenizer.encodeChat(messages, { addGenerationPrompt: false })
    expect([...chat.ids]).toEqual(ids)
    expect([...tokenizer.encodeChat(messages.slice(0, 1), { addGenerationPrompt: true }).ids]).toEqual([
      ...tokenizer.encode(generation_prompt, { addSpecialTokens: false })
    ])
  })

  it("masks what the assistant wrote, its end of turn included", async () => {
    const tokenizer = await open()
    const { messages } = expected().chat
    const { ids, assistantMask } = tokenizer.encodeChat(messages, { addGenerationPrompt: false })
    const eos = tokenizer.decode([tokenizer.eosId!])
    const written = messages.filter(({ role }) => role === "assistant").map(({ content }) => content + eos)
    const masked = tokenizer.decode(ids.filter((_, t) => assistantMask[t] === 1))
    expect(masked.replaceAll(`${eos} `, eos)).toBe(written.join(""))
  })
})
