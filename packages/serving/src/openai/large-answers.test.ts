import type { TokenizerShape } from "@plumbline/data"
import type { GenerationEvent, TokenLogProb } from "@plumbline/rollout-generation"
import { type Scripted, scriptedGenerator } from "@plumbline/rollout-generation/testing"
import { Effect, Stream } from "effect"
import { type IncomingMessage, request as httpRequest } from "node:http"
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest"
import { eventually } from "../testing/raw-client.ts"
import { idsOf, serveGenerator, tokenizer } from "../testing/serve-scripted.ts"

const TOKENS = 300
const SAMPLES = 32
const ALL = TOKENS * SAMPLES

/** Lists of alternatives that were looked at: once for each token of an answer that is written. */
let written = 0
/** Lists of ids that were made text. */
let decoded = 0
const reader: TokenizerShape = { ...tokenizer, decode: (...args) => (decoded++, tokenizer.decode(...args)) }

type Alternatives = ReadonlyArray<TokenLogProb>

const counted = (list: Alternatives): Alternatives =>
  new Proxy(list, {
    get: (target, key, receiver): unknown => {
      if (key === "map") written++
      return Reflect.get(target, key, receiver)
    }
  })

const countedLists = <A extends { readonly topLogProbs: ReadonlyArray<Alternatives> | undefined }>(scores: A): A => ({
  ...scores,
  topLogProbs: scores.topLogProbs?.map(counted)
})

const countedEvent = (event: GenerationEvent): GenerationEvent => {
  if (event._tag === "Prompt") return { ...event, prompt: countedLists(event.prompt) }
  return event._tag === "Finished" ? event : { ...event, topLogProbs: counted(event.topLogProbs) }
}

/** Has all that it says at once, as for a client that has not read for a while. */
const atOnce = (inner: Scripted): Scripted => ({
  ...inner,
  generate: (requests) =>
    Effect.map(inner.generate(requests), (groups) =>
      groups.map((group) => ({
        ...group,
        responses: group.responses.map(countedLists),
        prompt: group.prompt && countedLists(group.prompt)
      }))
    ),
  stream: (request) =>
    Stream.unwrap(
      Effect.map(Stream.runCollect(inner.stream(request)), (events) => Stream.fromArray(events.map(countedEvent)))
    )
})

const ids = (count: number) => idsOf("a large answer ".repeat(count / 15))
const says = () => ids(TOKENS)
let served: Awaited<ReturnType<typeof serveGenerator<Scripted>>>
beforeAll(async () => {
  served = await serveGenerator(
    atOnce(scriptedGenerator({ says, vocabulary: tokenizer.vocabSize + 20, contextTokens: 2000 })),
    reader
  )
})
afterAll(() => served.close())
beforeEach(() => void (written = 0))

const chat = { messages: [{ role: "user", content: "a" }], n: SAMPLES, logprobs: true, top_logprobs: 20 }
const completion = { prompt: "a", n: SAMPLES, max_tokens: TOKENS, logprobs: 20 }
// so long that a single choice of it is too much for a turn
const PROMPT = 1920
const echo = { prompt: ids(PROMPT), n: 4, max_tokens: 0, logprobs: 20, echo: true }

const cases = [
  ["a chat", "/v1/chat/completions", chat, ALL],
  ["a streamed chat", "/v1/chat/completions", { ...chat, stream: true }, ALL],
  ["a completion", "/v1/completions", completion, ALL],
  ["a streamed completion", "/v1/completions", { ...completion, stream: true }, ALL],
  ["an echo", "/v1/completions", echo, 4 * PROMPT - 4],
  ["a streamed echo", "/v1/completions", { ...echo, stream: true }, 4 * PROMPT - 4]
] as const

/** Sends a request; its answer is not read until somebody does. */
const ask = (path: string, body: object): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json" }
    const sent = httpRequest(served.url + path, { method: "POST", headers, agent: false }, resolve)
    sent.on("error", reject).end(JSON.stringify(body))
  })

const textOf = async (answer: IncomingMessage): Promise<string> => {
  const parts: Array<Buffer> = []
  for await (const part of answer) parts.push(part as Buffer)
  return Buffer.concat(parts).toString()
}

/** The most by which a count grew between two turns of the event loop, while something was waited for. */
const mostInATurn = async (count: () => number, until: Promise<unknown>): Promise<number> => {
  let [most, before] = [0, count()]
  const look = () => {
    most = Math.max(most, count() - before)
    before = count()
    turn = setImmediate(look)
  }
  let turn = setImmediate(look)
  await until
  clearImmediate(turn)
  return most
}

it.each(cases)("%s is written in many turns of the event loop", async (_, path, body, tokens) => {
  const whole = ask(path, body).then(textOf)
  expect(await mostInATurn(() => written, whole)).toBeLessThan(tokens / 8)
  expect(written).toBeGreaterThanOrEqual(tokens)
  expect((await whole).length).toBeGreaterThan(tokens * 20)
})

it("a streamed answer is read in many turns of the event loop, however much of it has come", async () => {
  decoded = 0
  const most = await mostInATurn(() => decoded, ask("/v1/chat/completions", { ...chat, stream: true }).then(textOf))
  expect(decoded).toBeGreaterThan(ALL)
  expect(most).toBeLessThan(decoded / 4)
})

it.each(cases.slice(0, 2))("%s waits for its client, and ends when that leaves", async (_, path, body) => {
  const answer = await ask(path, { ...body, n: 64 })
  // what it made lies in the sockets' buffers
  let before = -1
  await eventually(async () => {
    const made = written
    await new Promise((resume) => setTimeout(resume, 200))
    return made === written && made === (before = made)
  })
  expect(before).toBeGreaterThan(0)
  expect(before).toBeLessThan(2 * ALL)
  expect((await fetch(`${served.url}/health`)).status).toBe(200)
  expect(served.inFlight()).toBe(1)
  answer.destroy()
  await eventually(() => served.inFlight() === 0 && served.generator.active() === 0)
  expect(written).toBeLessThan(before + ALL / 8)
})

it("says the length of short answers, and sends long ones in chunks", async () => {
  const short = await ask("/v1/completions", { ...completion, n: 1, max_tokens: 2 })
  expect(short.headers["content-length"]).toBe(String((await textOf(short)).length))
  const long = await ask("/v1/completions", completion)
  expect([long.headers["content-length"], long.headers["transfer-encoding"]]).toEqual([undefined, "chunked"])
  expect(long.headers["content-type"]).toBe("application/json")
  const { choices } = JSON.parse(await textOf(long)) as {
    readonly choices: ReadonlyArray<{ readonly index: number; readonly logprobs: { readonly tokens: Array<string> } }>
  }
  expect(choices.map(({ index }) => index)).toEqual(Array.from({ length: SAMPLES }, (_, i) => i))
  expect(choices.every(({ logprobs }) => logprobs.tokens.length === TOKENS)).toBe(true)
})
