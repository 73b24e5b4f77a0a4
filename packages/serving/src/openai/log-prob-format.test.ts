import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { idsOf, serveScripted, tokenizer } from "../testing/serve-scripted.ts"

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

  it("have the same offsets streamed where a later byte could still undo those before it", async () => {
    const { decode } = tokenizer
    // as vocabularies with byte fallback: a run of bytes that is no UTF-8 is one U+FFFD a byte
    const fallback = {
      ...tokenizer,
      decode: (ids: ArrayLike<number>) => {
        const text = decode(ids)
        return text.includes("\uFFFD") ? "\uFFFD".repeat(ids.length) : text
      }
    }
    const others = await serveScripted({ says: () => idsOf("abc") }, fallback)
    const ask = { ...BASE, prompt: "x", echo: false }
    const { choices } = await others.client.completions.create(ask)
    const streamed: Array<number> = []
    for await (const { choices } of await others.client.completions.create({ ...ask, stream: true })) {
      streamed.push(...(choices[0]?.logprobs?.text_offset ?? []))
    }
    await others.close()
    expect([choices[0]!.logprobs!.text_offset, streamed]).toEqual([
      [0, 1, 2],
      [0, 1, 2]
    ])
  })

  it("of echoed token ids have the places of what is echoed", async () => {
    const end = tokenizer.encode("<|im_end|>")
    const ask = { ...BASE, prompt: [...idsOf("a"), ...end], skip_special_tokens: false }
    const { choices } = await served.client.completions.create(ask)
    expect(choices[0]!.text).toBe("a<|im_end|>🙂e")
    expect(choices[0]!.logprobs!.text_offset).toEqual([0, 1, 11, 11, 11, 11, 12])
  })

  it("of a text have the places of its special tokens, and none of those that are put before it", async () => {
    const bos = tokenizer.encode("<|im_start|>")
    const opening = { ...tokenizer, prefixIds: bos, bosId: bos[0] }
    const others = await serveScripted({ says: () => idsOf("ok") }, opening)
    const offsets = async (prompt: string) =>
      (await others.client.completions.create({ ...BASE, prompt })).choices[0]!.logprobs!.text_offset
    expect(await offsets("é<|im_end|>a")).toEqual([0, 0, 0, 1, 11, 12, 13])
    // a text that brings the token itself
    expect(await offsets("<|im_start|>a")).toEqual([0, 12, 13, 14])
    await others.close()
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
