import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { idsOf, serveScripted } from "../testing/serve-scripted.ts"

let served: Awaited<ReturnType<typeof serveScripted>>
beforeAll(async () => void (served = await serveScripted({ says: () => idsOf("🙂e") })))
afterAll(() => served.close())

const BASE = { model: "tiny", prompt: "🎉é!", max_tokens: 10, logprobs: 2, echo: true } as const

describe("log-probs", () => {
  // OpenAI's server counts as Python does: one character for 🎉, which is two UTF-16 units and four tokens here
  const offsets = [0, 0, 0, 0, 1, 1, 2, 3, 3, 3, 3, 4]

  it("have offsets in characters", async () => {
    const { choices } = await served.client.completions.create(BASE)
    expect(choices[0]!.text).toBe("🎉é!🙂e")
    expect(choices[0]!.logprobs!.text_offset).toEqual(offsets)
    const streamed: Array<number> = []
    for await (const { choices } of await served.client.completions.create({ ...BASE, stream: true })) {
      streamed.push(...(choices[0]?.logprobs?.text_offset ?? []))
    }
    expect(streamed).toEqual(offsets)
  })

  it("of a token are one number, alone and among the alternatives", async () => {
    const { choices } = await served.client.completions.create({ ...BASE, prompt: "hi" })
    const { token_logprobs: own, tokens, top_logprobs: top } = choices[0]!.logprobs!
    // the text of the last token is no broken byte, so its own
    expect(top!.at(-1)![tokens!.at(-1)!]).toBe(own!.at(-1))
    const chat = await served.client.chat.completions.create({
      model: "tiny",
      messages: [{ role: "user", content: "hi" }],
      logprobs: true,
      top_logprobs: 2
    })
    for (const { logprob, top_logprobs: others } of chat.choices[0]!.logprobs!.content!) {
      expect(others[0]!.logprob).toBe(logprob)
    }
  })
})
