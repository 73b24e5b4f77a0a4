import { type OpenAI, AuthenticationError, BadRequestError, NotFoundError } from "openai"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { plumbHere } from "../plumb-here.ts"
import { plumb, WASM } from "../plumb.ts"
import { type Offline, offlineAnswers } from "./offline.ts"
import { type ModelFolder, type Server, startServer, untrainedModel } from "./server.ts"

const TOKENS = 12
const TOKEN = "s3cret"

let model: ModelFolder
let server: Server
let withToken: Server
let answers: ReadonlyArray<Offline>
let client: OpenAI
beforeAll(async () => {
  model = await untrainedModel()
  const started = [startServer(model.path), startServer(model.path, ["--name", "mine"], { PLUMBLINE_TOKEN: TOKEN })]
  ;[server, withToken] = (await Promise.all(started)) as [Server, Server]
  answers = await offlineAnswers(model.path, 4, TOKENS)
  client = server.client()
})
afterAll(async () => {
  await Promise.all([server.close(), withToken.close()])
  model.remove()
})

const ask = ({ prompt, seed }: Offline) => ({ model: "tiny", prompt, seed, max_tokens: TOKENS })
const chat = ({ prompt, seed }: Offline) => ({
  model: "tiny",
  messages: [{ role: "user" as const, content: prompt }],
  seed,
  max_completion_tokens: TOKENS
})

describe("OpenAI's client on plumb serve", () => {
  it("completes a prompt as plumb generate does with the same seed", async () => {
    const [one] = answers
    const { choices, usage } = await client.completions.create({ ...ask(one!), n: 2, logprobs: 0 })
    expect(choices.map(({ text }) => text)).toEqual(one!.texts)
    expect(usage!.completion_tokens).toBe(one!.ids.flat().length)
    choices.forEach(({ logprobs }, sample) => {
      const gaps = logprobs!.token_logprobs!.map((value, t) => Math.abs(value! - one!.logProbs[sample]![t]!))
      // float32 in other batches: matrix products add up in another order
      expect(Math.max(...gaps)).toBeLessThan(1e-4)
    })
    expect(one!.texts[0]).not.toBe(one!.texts[1])
  })

  it("streams a completion, part by part the same text", async () => {
    const one = answers[2]!
    const parts = []
    const asked = { ...ask(one), stream: true, stream_options: { include_usage: true } } as const
    for await (const chunk of await client.completions.create(asked)) parts.push(chunk)
    expect(parts.flatMap(({ choices }) => choices.map(({ text }) => text)).join("")).toBe(one.texts[0])
    expect(parts.length).toBeGreaterThan(3)
    expect(parts.at(-1)!.usage!.completion_tokens).toBe(one.ids[0]!.length)
  })

  it("chats, whole and streamed, through the model's template", async () => {
    const one = answers[1]!
    const whole = await client.chat.completions.create({ ...chat(one), logprobs: true, top_logprobs: 2 })
    expect(whole.choices[0]!.message).toMatchObject({ role: "assistant", content: one.texts[0] })
    const { content } = whole.choices[0]!.logprobs!
    expect(content!.map(({ top_logprobs }) => top_logprobs.length)).toEqual(one.ids[0]!.map(() => 2))
    expect(content![0]!.logprob).toBeCloseTo(one.logProbs[0]![0]!, 4)
    let text = ""
    for await (const { choices } of await client.chat.completions.create({ ...chat(one), stream: true })) {
      text += choices[0]!.delta.content ?? ""
    }
    expect(text).toBe(one.texts[0])
  })

  it("scores a prompt of token ids without going on, as plumb score does", async () => {
    const text = "A plumb line."
    const scored = await plumbHere(["score", "--model", model.path, "--text", text, "--json", ...WASM])
    const { input_ids: ids, token_logprobs: logProbs } = JSON.parse(scored.stdout) as {
      readonly input_ids: Array<number>
      readonly token_logprobs: ReadonlyArray<number | null>
    }
    const asked = { model: "tiny", prompt: ids, max_tokens: 0, echo: true, logprobs: 1 }
    const [choice] = (await client.completions.create(asked)).choices
    expect(choice!.text).toBe(text)
    choice!.logprobs!.token_logprobs!.forEach((value, t) =>
      t === 0 ? expect(value).toBe(null) : expect(value).toBeCloseTo(logProbs[t]!, 4)
    )
  })

  it("stops at a stop string and at the end of the context", async () => {
    const one = answers[0]!
    const stop = one.texts[0]!.slice(3, 5)
    const cut = await client.completions.create({ ...ask(one), stop })
    expect(cut.choices[0]).toMatchObject({ text: one.texts[0]!.slice(0, 3), finish_reason: "stop" })
    const long = { model: "tiny", prompt: "x".repeat(1020), max_tokens: 4, seed: 1 }
    expect((await client.completions.create({ ...long, logit_bias: { "258": -100 } })).usage!.total_tokens).toBe(1024)
    await expect(client.completions.create({ ...long, max_tokens: 5 })).rejects.toMatchObject({
      status: 400,
      code: "context_length_exceeded"
    })
  })

  it("throws OpenAI's own errors, with a reason", async () => {
    const base = { model: "tiny", prompt: "a" }
    const unknown = client.completions.create({ ...base, model: "gpt-9" })
    await expect(unknown).rejects.toBeInstanceOf(NotFoundError)
    await expect(unknown).rejects.toThrow('this server has "tiny"')
    const hot = client.completions.create({ ...base, temperature: -1 })
    await expect(hot).rejects.toBeInstanceOf(BadRequestError)
    await expect(hot).rejects.toMatchObject({ param: "temperature" })
    await expect(client.embeddings.create({ model: "tiny", input: "a" })).rejects.toBeInstanceOf(NotFoundError)
  })

  it("lists the model under its folder's name or the one it was given", async () => {
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual(["tiny"])
    expect((await withToken.client(TOKEN).models.list()).data.map(({ id }) => id)).toEqual(["mine"])
  })

  it("wants the token of the environment, and shows it nowhere", async () => {
    await expect(withToken.client().models.list()).rejects.toBeInstanceOf(AuthenticationError)
    expect((await fetch(`${withToken.url}/metrics`)).status).toBe(401)
    expect((await fetch(`${withToken.url}/health`)).status).toBe(200)
    expect(withToken.log()).toContain("with a token")
    expect(withToken.log()).not.toContain(TOKEN)
  })
})

describe("plumb serve", () => {
  it.concurrent.each([
    [["--host", "0.0.0.0"], 2, "--host 0.0.0.0 can be reached from other machines: give a token"],
    [["--token", "two words"], 2, "the token must be visible ASCII characters without spaces"],
    [["--allow-origin", "http://localhost:3000/"], 2, "http://localhost:3000/ is no origin"],
    [["--allow-origin", "*"], 2, "--allow-origin * would let any page use the server: give a token"],
    [["--port", "65536"], 2, "--port: expected a value less than or equal to 65535"],
    [["--model", "/nowhere"], 1, "no model in /nowhere"]
  ])("refuses %j", async (flags, code, reason) => {
    const model = flags.includes("--model") ? [] : ["--model", "."]
    const ended = await plumbHere(["serve", ...model, ...flags, ...WASM], undefined, { PLUMBLINE_TOKEN: "" })
    expect([ended.code, ended.stdout]).toEqual([code, ""])
    expect(ended.stderr).toContain(reason)
  })

  it("says that its port is taken", async () => {
    const { port } = new URL(server.url)
    const second = await plumb(["serve", "--model", model.path, "--port", port, ...WASM])
    expect(second.code).toBe(1)
    expect(second.stderr).toContain(`port ${port}: something else listens there`)
  })

  it("finishes what it has begun after SIGTERM, takes nothing new, and ends with 0", async () => {
    const draining = await startServer(model.path)
    const long = { model: "tiny", prompt: "a", max_tokens: 1000, seed: 3, logit_bias: { "258": -100 } }
    const stream = await draining.client().completions.create({
      ...long,
      stream: true,
      stream_options: { include_usage: true }
    })
    let last: OpenAI.Completion | undefined
    for await (const chunk of stream) {
      if (last === undefined) draining.signal("SIGTERM")
      last = chunk
    }
    expect(last!.usage!.completion_tokens).toBe(1000)
    expect(await draining.ended).toBe(0)
    expect(draining.log()).toContain("SIGTERM: 1 requests have 30 s to finish")
    expect(draining.log()).toMatch(/stopped\n$/)
    await expect(fetch(`${draining.url}/health`)).rejects.toThrow("fetch failed")
  })
})
