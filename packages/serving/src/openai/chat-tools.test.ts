import { byteTokenizer, CHATML_SPECIALS } from "@plumbline/data"
import type OpenAI from "openai"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { idsOf, serveScripted } from "../testing/serve-scripted.ts"

const TEMPLATE =
  "{% if tools %}{{ tools | tojson }}\n{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}" +
  "{% if m.tool_calls %}{% for c in m.tool_calls %}<tool_call>{{ c.function | tojson }}</tool_call>{% endfor %}{% endif %}" +
  "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"

const tokenizer = byteTokenizer({ specials: CHATML_SPECIALS, chatTemplate: TEMPLATE })
const END = tokenizer.eosId!

const CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 2, "b": 3}}\n</tool_call>'
const FUNCTION = { name: "add", arguments: '{"a":2,"b":3}' }
const tool: OpenAI.ChatCompletionTool = {
  type: "function",
  function: { name: "add", description: "adds", parameters: { type: "object", properties: { a: {}, b: {} } } }
}
const messages: Array<OpenAI.ChatCompletionMessageParam> = [{ role: "user", content: "2 + 3?" }]
const BASE = { model: "tiny", messages, tools: [tool] }

describe("/v1/chat/completions with tools", () => {
  let says = `I add. ${CALL}`
  let served: Awaited<ReturnType<typeof serveScripted>>
  beforeAll(async () => {
    const script = { says: () => [...idsOf(says), END], stop: { kind: "id", id: END } as const, contextTokens: 2000 }
    served = await serveScripted(script, tokenizer)
  })
  afterAll(() => served.close())
  const prompt = () => tokenizer.decode(served.generator.requests.at(-1)!.promptIds)

  it("tells the model of them, and the client of calls", async () => {
    const [choice] = (await served.client.chat.completions.create(BASE)).choices
    expect(JSON.parse(prompt().split("\n")[0]!)).toEqual([tool])
    expect(choice).toMatchObject({
      finish_reason: "tool_calls",
      message: { content: "I add.", tool_calls: [{ type: "function", function: FUNCTION }] }
    })
  })

  it("takes a call and what it gave back into the chat", async () => {
    const called = (await served.client.chat.completions.create(BASE)).choices[0]!.message
    const answer = { role: "tool", tool_call_id: called.tool_calls![0]!.id, content: "5" } as const
    await served.client.chat.completions.create({ ...BASE, messages: [...messages, called, answer] })
    expect(prompt()).toContain(
      'assistant\nI add.<tool_call>{"name": "add", "arguments": {"a": 2, "b": 3}}</tool_call><|im_end|>\n' +
        "<|im_start|>tool\n5<|im_end|>\n<|im_start|>assistant\n"
    )
    const bare = { role: "assistant", content: null, tool_calls: called.tool_calls! } as const
    await served.client.chat.completions.create({ ...BASE, messages: [...messages, bare, answer] })
    expect(prompt()).toContain("assistant\n<tool_call>")
  })

  it("streams text as it comes and each call whole, as the client's helper puts together", async () => {
    says = `I add. ${CALL}\n${CALL}`
    const stream = served.client.chat.completions.stream({ ...BASE, n: 2, stream_options: { include_usage: true } })
    const { choices } = await stream.finalChatCompletion()
    for (const { finish_reason, message } of choices) {
      expect(finish_reason).toBe("tool_calls")
      expect(message.content).toBe("I add.")
      expect(message.tool_calls!.map((call) => call.type === "function" && call.function)).toMatchObject([
        FUNCTION,
        FUNCTION
      ])
    }
  })

  it("is text where nothing is called, where a call was cut off, and where no tools are to be called", async () => {
    const ask = async (text: string, fields: object = {}) => {
      says = text
      const { choices } = await served.client.chat.completions.create({ ...BASE, ...fields })
      const { finish_reason, message } = choices[0]!
      return [finish_reason, message.content, message.tool_calls]
    }
    expect(await ask("5")).toEqual(["stop", "5", undefined])
    expect(await ask(CALL, { max_tokens: 20 })).toEqual(["length", CALL.slice(0, 20), undefined])
    expect(await ask(CALL, { tool_choice: "none" })).toEqual(["stop", CALL, undefined])
    expect(prompt()).not.toContain("adds")
    expect(await ask(CALL)).toMatchObject(["tool_calls", null, [{ function: FUNCTION }]])
  })

  const { function: described } = tool
  const call = (fields: object) => [
    { role: "assistant", tool_calls: [{ id: "a", type: "function", function: fields }] }
  ]
  it.each([
    [{ tools: {} }, "tools"],
    [{ tools: ["add"] }, "tools[0]"],
    [{ tools: [{ type: "retrieval" }] }, "tools[0]"],
    [{ tools: [tool, { ...tool, function: { ...described, name: "a b" } }] }, "tools[1].function"],
    [{ tools: [{ ...tool, function: { ...described, parameters: "none" } }] }, "tools[0].function"],
    [{ tools: [{ ...tool, function: { ...described, strict: true } }] }, "tools[0].function.strict"],
    [{ tools: [tool, tool] }, "tools[1].function.name"],
    [{ tools: Array.from({ length: 129 }, () => tool) }, "tools"],
    [{ tool_choice: "required" }, "tool_choice"],
    [{ tool_choice: { type: "function", function: { name: "add" } } }, "tool_choice"],
    [{ messages: call({ name: "add", arguments: "{" }) }, "messages[0].tool_calls[0].function.arguments"],
    [{ messages: call({ name: "add", arguments: "[]" }) }, "messages[0].tool_calls[0].function.arguments"],
    [{ messages: call({ name: "add" }) }, "messages[0].tool_calls[0]"],
    [{ messages: [{ role: "assistant", content: "x", tool_calls: "add" }] }, "messages[0].tool_calls"],
    [{ messages: [{ role: "user", content: "x", tool_call_id: "a" }] }, "messages[0].tool_call_id"],
    [{ messages: [{ role: "assistant", content: null }] }, "messages[0].content"]
  ])("refuses %j", async (fields, param) => {
    const { status, text } = await served.post("/v1/chat/completions", { ...BASE, ...fields })
    expect([status, JSON.parse(text).error.param]).toEqual([400, param])
  })
})
