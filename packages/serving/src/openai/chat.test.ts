import { byteTokenizer, loadTokenizer } from "@plumbline/data"
import { Effect } from "effect"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type OpenAI from "openai"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { idsOf, serveScripted, tokenizer } from "../testing/serve-scripted.ts"

let served: Awaited<ReturnType<typeof serveScripted>>
beforeAll(async () => void (served = await serveScripted({ says: () => [...idsOf("hé"), 258] })))
afterAll(() => served.close())

const messages: Array<OpenAI.ChatCompletionMessageParam> = [{ role: "user", content: "hi" }]
const BASE = { model: "tiny", messages }
const withIds = { return_token_ids: true }

/** ChatML of the messages above, for the assistant to go on. */
const RENDERED = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"

describe("/v1/chat/completions", () => {
  it("goes on from the rendered chat, by default to the end of the context", async () => {
    const answer = await served.client.chat.completions.create({ ...BASE, ...withIds })
    expect(answer).toMatchObject({
      object: "chat.completion",
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: "hé" },
          finish_reason: "stop",
          token_ids: [104, 195, 169, 258]
        }
      ]
    })
    const { promptIds, sampling } = served.generator.requests.at(-1)!
    expect(tokenizer.decode(promptIds)).toBe(RENDERED)
    expect((answer as unknown as { prompt_token_ids: number[] }).prompt_token_ids).toEqual([...promptIds])
    expect(sampling.maxNewTokens).toBe(200 - promptIds.length)
    expect(answer.usage).toEqual({
      prompt_tokens: promptIds.length,
      completion_tokens: 4,
      total_tokens: promptIds.length + 4,
      prompt_tokens_details: { cached_tokens: 0 }
    })
  })

  it("takes content as a list of texts, and every role that the template takes", async () => {
    const content = [
      { type: "text", text: "a" },
      { type: "text", text: "b" }
    ] as const
    // as Mistral's client sends answers back
    const off = { prefix: false }
    await served.client.chat.completions.create({
      model: "tiny",
      messages: [
        { role: "system", content: "s" },
        { role: "user", content: [...content] },
        { role: "assistant", content: "c", refusal: null, tool_calls: [], ...off },
        { role: "user", content: "d" }
      ]
    })
    expect(tokenizer.decode(served.generator.requests.at(-1)!.promptIds)).toContain("user\nab<|im_end|>")
  })

  it("gives log-probs with the bytes of each token", async () => {
    const answer = await served.client.chat.completions.create({ ...BASE, logprobs: true, top_logprobs: 2, n: 2 })
    expect(answer.choices.map(({ index }) => index)).toEqual([0, 1])
    const [h, half, rest, end] = answer.choices[1]!.logprobs!.content!
    expect(h).toMatchObject({ token: "h", bytes: [104], top_logprobs: [{ token: "h" }, { token: "i", bytes: [105] }] })
    expect(h!.logprob).toBeCloseTo(-1.04, 6)
    expect([half, rest]).toMatchObject([
      { token: "\uFFFD", bytes: [0xc3], top_logprobs: [{ bytes: [0xc3] }, { bytes: [0xc4] }] },
      { token: "\uFFFD", bytes: [0xa9] }
    ])
    expect(end!.token).toBe("<|im_end|>")
  })

  it("streams: the role, whole characters, the reason, the usage", async () => {
    const stream = await served.client.chat.completions.create({
      ...BASE,
      stream: true,
      logprobs: true,
      stream_options: { include_usage: true }
    })
    const chunks = []
    for await (const chunk of stream) chunks.push(chunk)
    expect(chunks.map(({ object }) => object)).toEqual(Array(5).fill("chat.completion.chunk"))
    const choices = chunks.flatMap((chunk) => chunk.choices)
    expect(choices.map(({ delta }) => delta)).toEqual([
      { role: "assistant", content: "" },
      { content: "h" },
      { content: "é" },
      {}
    ])
    expect(choices.map(({ logprobs }) => logprobs?.content?.length)).toEqual([undefined, 1, 2, 1])
    expect(choices.map(({ finish_reason }) => finish_reason)).toEqual([null, null, null, "stop"])
    expect(chunks.at(-1)!.usage).toMatchObject({ completion_tokens: 4 })
  })

  it("works with the client's helper that puts a stream together", async () => {
    const final = await served.client.chat.completions.stream({ ...BASE, n: 2 }).finalChatCompletion()
    expect(final.choices.map(({ message }) => message.content)).toEqual(["hé", "hé"])
  })

  it.each([
    [{ messages: undefined }, "messages"],
    [{ messages: [] }, "messages"],
    [{ messages: "hi" }, "messages"],
    [{ messages: ["hi"] }, "messages[0]"],
    [
      { messages: [{ role: "tool", content: "x", tool_call_id: "a" }] },
      "messages[0].tool_call_id",
      "unsupported_parameter"
    ],
    [{ messages: [{ role: "user" }] }, "messages[0].content"],
    [{ messages: [{ role: "user", content: 5 }] }, "messages[0].content"],
    [
      { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] }] },
      "messages[0].content[0]"
    ],
    [{ messages: [{ content: "x" }] }, "messages[0].role"],
    [{ messages: [{ role: "user", content: "x".repeat(200) }] }, "messages", "context_length_exceeded"],
    [{ max_tokens: 1, max_completion_tokens: 2 }, "max_tokens"],
    [{ max_completion_tokens: 190 }, "max_completion_tokens", "context_length_exceeded"],
    [{ max_tokens: 190 }, "max_tokens", "context_length_exceeded"],
    [{ top_logprobs: 2 }, "top_logprobs"],
    [{ logprobs: 3 }, "logprobs"],
    [{ tools: [{ type: "function", function: { name: "f" } }] }, "tools", "unsupported_parameter"],
    [{ tool_choice: "required" }, "tool_choice"],
    [{ chat_template: "{{ messages }}" }, "chat_template", "unsupported_parameter"],
    [{ guided_json: {} }, "guided_json", "unsupported_parameter"],
    [{ response_format: { type: "json_object" } }, "response_format", "unsupported_parameter"],
    [{ response_format: { type: "json_schema", json_schema: {} } }, "response_format", "unsupported_parameter"],
    // as instructor's mode JSON_SCHEMA asks
    [{ response_format: { type: "json_object", schema: {} } }, "response_format", "unsupported_parameter"],
    [{ response_format: {} }, "response_format.type"],
    [{ response_format: "text" }, "response_format"],
    [{ response_format: { type: "text", schema: {} } }, "response_format.schema", "unknown_parameter"],
    [{ prompt: "x" }, "prompt", "unknown_parameter"]
  ])("refuses %j", async (fields, param, code?: string) => {
    const answer = await served.post("/v1/chat/completions", { ...BASE, ...fields })
    const { error } = JSON.parse(answer.text)
    expect([answer.status, error.param]).toEqual([400, param])
    if (code !== undefined) expect(error.code).toBe(code)
  })

  it("is named to clients that ask for OpenAI's other API", async () => {
    const asked = served.client.responses.create({ model: "tiny", input: "hi" })
    await expect(asked).rejects.toMatchObject({ status: 404, code: "unknown_url" })
    await expect(asked).rejects.toThrow("use /v1/chat/completions")
  })

  it("is all that a language model has: those who ask for rewards are told", async () => {
    for (const path of ["/v1/rewards", "/v1/values"]) {
      const { status, text } = await served.post(path, { input: "a" })
      expect([status, JSON.parse(text).error.message]).toEqual([404, expect.stringContaining("serve a reward model")])
    }
  })

  it("takes the one format that its answers have", async () => {
    for (const format of [null, { type: "text" }]) {
      expect((await served.post("/v1/chat/completions", { ...BASE, response_format: format })).status).toBe(200)
    }
  })

  it("asks proxies neither to hold a stream back nor to compress it, for which they would", async () => {
    const { response } = await served.client.chat.completions.create({ ...BASE, stream: true }).withResponse()
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache, no-transform",
      "x-accel-buffering": "no"
    })
    await response.body?.cancel()
  })

  it("hands the template the variables that it reads", async () => {
    const chatTemplate = "{{ messages[0].content }}{% if enable_thinking is false %}!{% endif %}"
    const { close, generator, post } = await serveScripted({}, byteTokenizer({ specials: [], chatTemplate }))
    const messages = [{ role: "user", content: "x" }]
    const ask = (kwargs: unknown) => post("/v1/chat/completions", { messages, chat_template_kwargs: kwargs })
    for (const kwargs of [{ enable_thinking: false }, { enable_thinking: true }, {}, null]) await ask(kwargs)
    const rendered = generator.requests.map(({ promptIds }) => tokenizer.decode(promptIds))
    expect(rendered).toEqual(["x!", "x", "x", "x"])
    for (const [kwargs, param] of [
      ["enable_thinking", "chat_template_kwargs"],
      [{ thinking: false }, "chat_template_kwargs.thinking"],
      [{ messages: [] }, "chat_template_kwargs.messages"],
      [{ "is|false": 1 }, "chat_template_kwargs.is|false"],
      [Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`v${i}`, i])), "chat_template_kwargs"]
    ] as const) {
      const { status, text } = await ask(kwargs)
      expect([status, JSON.parse(text).error.param]).toEqual([400, param])
    }
    await close()
  })

  it("speaks to a template as the system where that knows no developer", async () => {
    const roles = "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}"
    const templates = [roles, `{% if messages[0].role == "developer" %}D{% endif %}${roles}`]
    const rendered = templates.map(async (chatTemplate) => {
      const { close, generator, post } = await serveScripted({}, byteTokenizer({ specials: [], chatTemplate }))
      const messages = ["developer", "user"].map((role) => ({ role, content: "x" }))
      await post("/v1/chat/completions", { messages })
      await close()
      return tokenizer.decode(generator.requests[0]!.promptIds)
    })
    expect(await Promise.all(rendered)).toEqual(["system:x;user:x;", "Ddeveloper:x;user:x;"])
  })

  it("says what the model's template has against the messages", async () => {
    const strict = "{% if messages[0].role != 'user' %}{{ raise_exception('must start with user') }}{% endif %}hi"
    const { close, post } = await serveScripted({}, byteTokenizer({ specials: [], chatTemplate: strict }))
    const ask = (role: string) => post("/v1/chat/completions", { messages: [{ role, content: "x" }] })
    expect((await ask("user")).status).toBe(200)
    expect(JSON.parse((await ask("system")).text).error).toMatchObject({ code: "invalid_messages", param: "messages" })
    expect((await ask("system")).text).toContain("must start with user")
    await close()
  })

  it("keeps the place of the tokenizer's files to itself", async () => {
    const folder = mkdtempSync(join(tmpdir(), "plumbline-served-"))
    for (const [name, text] of Object.entries(byteTokenizer({ specials: [] }).files)) {
      writeFileSync(join(folder, name), text)
    }
    const { close, post } = await serveScripted({}, await Effect.runPromise(loadTokenizer(folder)))
    const { status, text } = await post("/v1/chat/completions", { messages: [{ role: "user", content: "x" }] })
    expect([status, text]).toEqual([400, expect.stringContaining("chat template: there is none")])
    expect(text).not.toContain(folder)
    await close()
  })
})
