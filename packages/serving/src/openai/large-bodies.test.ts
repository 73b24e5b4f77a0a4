import { byteTokenizer, CHATML_SPECIALS, CHATML_TEMPLATE, type TokenizerThread } from "@plumbline/data"
import { scriptedGenerator } from "@plumbline/rollout-generation/testing"
import { Effect, Exit } from "effect"
import { expect, it } from "vitest"
import { chatJob } from "./chat-request.ts"
import { completionJob } from "./completion-request.ts"
import type { ServedModel } from "./served-model.ts"

const tokenizer = byteTokenizer({ specials: CHATML_SPECIALS, chatTemplate: CHATML_TEMPLATE })
const VOCABULARY = 256_000
const ids = Effect.succeed(Int32Array.of(1, 2, 3))
const model: ServedModel = {
  id: "tiny",
  aliases: [],
  created: 1,
  tokenizer,
  tokenizerThread: { prompt: () => ids, judged: () => ids, part: () => ids } satisfies TokenizerThread,
  generator: scriptedGenerator({ says: () => [1], vocabulary: VOCABULARY, contextTokens: 200 }),
  endTokens: [3]
}

const keys = (count: number, value: unknown) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`key ${i}`, value]))
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i % VOCABULARY)

const repeated = (count: number, value: unknown) => Array.from({ length: count }, () => value)

/** Fields of a completion, or of a chat, that make bodies of about four megabytes, and whether they are taken. */
const bodies: ReadonlyArray<readonly [name: string, kind: "chat" | "completion", taken: boolean, fields: object]> = [
  ["metadata", "completion", true, { metadata: keys(250_000, "v") }],
  ["metadata of a chat", "chat", true, { metadata: keys(250_000, "v") }],
  ["unknown fields", "completion", false, keys(250_000, 1)],
  ["unknown fields that are null", "completion", true, keys(200_000, null)],
  ["biases", "completion", false, { logit_bias: Object.fromEntries(numbers(250_000).map((id) => [id, 1])) }],
  ["stop tokens", "completion", true, { stop_token_ids: numbers(600_000) }],
  [
    "stop tokens that are all that may be drawn",
    "completion",
    true,
    { stop_token_ids: numbers(300_000), allowed_token_ids: numbers(300_000), min_tokens: 1 }
  ],
  [
    "stop tokens of many prompts",
    "completion",
    true,
    { stop_token_ids: numbers(300_000), prompt: repeated(1000, "a") }
  ],
  ["messages", "chat", true, { messages: repeated(120_000, { role: "user", content: "" }) }],
  ["a message's fields", "chat", false, { messages: [keys(200_000, null)] }],
  ["parts", "chat", true, { messages: [{ role: "user", content: repeated(120_000, { type: "text", text: "" }) }] }]
]

it.each(bodies)("reads %s in about the time that it takes to write them down", (_, kind, taken, fields) => {
  const base = { prompt: "a", max_tokens: 5 }
  const body = kind === "chat" ? { messages: [{ role: "user", content: "a" }], ...fields } : { ...base, ...fields }
  const since = performance.now()
  const parsed: unknown = JSON.parse(JSON.stringify(body))
  const written = performance.now() - since
  const job = kind === "chat" ? chatJob : completionJob
  // at best: others work on the machine
  const times = [1, 2, 3].map(() => {
    const begun = performance.now()
    const read = Effect.runSyncExit(job([model], parsed, 1024))
    expect(Exit.isSuccess(read)).toBe(taken)
    return performance.now() - begun
  })
  // some times as long on a busy machine; with each compared to each it was minutes
  expect(Math.min(...times)).toBeLessThan(Math.max(150, 5 * written))
})
