import { connect } from "node:net"
import type { Offline } from "./offline.ts"
import type { Server } from "./server.ts"

export interface ClientKind {
  readonly name: string
  readonly run: (server: Server, asked: Offline, tokens: number) => Promise<unknown>
  readonly expected: (asked: Offline) => unknown
  /** Responses that are written for it to the end. */
  readonly responses: number
}

const body = ({ chat, prompt, seed }: Offline, tokens: number) =>
  chat
    ? { messages: [{ role: "user", content: prompt }], max_tokens: tokens, seed }
    : { prompt, max_tokens: tokens, seed }

/** More than anybody waits for here. */
const endless = (asked: Offline) => ({ ...body(asked, ENDLESS), min_tokens: ENDLESS })
const ENDLESS = 900

const pathOf = ({ chat }: Offline): string => (chat ? "/v1/chat/completions" : "/v1/completions")

const post = (server: Server, path: string, sent: unknown, signal: AbortSignal | null = null): Promise<Response> =>
  fetch(server.url + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: typeof sent === "string" ? sent : JSON.stringify(sent),
    signal
  })

interface Said {
  readonly choices: ReadonlyArray<{
    readonly text?: string
    readonly message?: { readonly content: string }
    readonly delta?: { readonly content?: string }
  }>
}

const textsOf = ({ choices }: Said): ReadonlyArray<string> =>
  choices.map(({ delta, message, text }) => text ?? message?.content ?? delta?.content ?? "")

const whole = async (server: Server, asked: Offline, sent: object): Promise<unknown> => {
  const answer = await post(server, pathOf(asked), sent)
  return answer.ok ? textsOf((await answer.json()) as Said) : answer.text()
}

/** Text of a streamed answer, which must end with [DONE]. */
const streamed = async (server: Server, asked: Offline, sent: object): Promise<unknown> => {
  const answer = await post(server, pathOf(asked), { ...sent, stream: true })
  const events = (await answer.text()).split("\n\n").map((event) => event.replace(/^data: /, ""))
  if (events.slice(-2).join() !== "[DONE],") return events
  return [
    events
      .slice(0, -2)
      .flatMap((event) => textsOf(JSON.parse(event) as Said))
      .join("")
  ]
}

/** Leaves after the first piece of the answer. */
const leavesStream = async (server: Server, asked: Offline, sent: object): Promise<unknown> => {
  const leaver = new AbortController()
  const answer = await post(server, pathOf(asked), { ...sent, stream: true }, leaver.signal)
  await answer.body!.getReader().read()
  leaver.abort()
  return answer.status
}

/** Leaves while it waits or its answer is made. */
const leavesEarly = async (server: Server, asked: Offline, sent: object): Promise<unknown> => {
  const answer = post(server, pathOf(asked), sent, AbortSignal.timeout(50 + (asked.seed % 200)))
  return answer.then(
    ({ status }) => status,
    () => "left"
  )
}

/** The status of what the server says to these bytes until it closes. */
const raw = (server: Server, bytes: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(server.url).port), "127.0.0.1")
    let text = ""
    socket.on("data", (chunk) => (text += String(chunk)))
    socket.on("error", reject)
    socket.on("close", () => resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0)))
    socket.write(bytes)
  })

const status = async (answer: Promise<Response>): Promise<number> => {
  const { status: code, text } = await answer.then(async (got) => ({ status: got.status, text: await got.text() }))
  return (JSON.parse(text) as { readonly error: object }).error === undefined ? 0 : code
}

const HEAD = "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"

/** In turn. Places are even for completions, odd for chats, so that each good kind sees both over the crowd. */
export const clientKinds: ReadonlyArray<ClientKind> = [
  {
    name: "whole",
    run: (server, asked, tokens) => whole(server, asked, body(asked, tokens)),
    expected: ({ texts }) => [texts[0]],
    responses: 1
  },
  {
    name: "streams",
    run: (server, asked, tokens) => streamed(server, asked, body(asked, tokens)),
    expected: ({ texts }) => [texts[0]],
    responses: 1
  },
  {
    name: "two samples",
    run: (server, asked, tokens) => whole(server, asked, { ...body(asked, tokens), n: 2 }),
    expected: ({ texts }) => texts,
    responses: 2
  },
  {
    name: "streams a chat",
    run: (server, asked, tokens) => streamed(server, asked, { ...body(asked, tokens), top_p: 1, logit_bias: {} }),
    expected: ({ texts }) => [texts[0]],
    responses: 1
  },
  {
    name: "leaves its stream",
    run: (server, asked) => leavesStream(server, asked, endless(asked)),
    expected: () => 200,
    responses: 0
  },
  {
    name: "leaves early",
    run: (server, asked) => leavesEarly(server, asked, endless(asked)),
    expected: () => "left",
    responses: 0
  },
  {
    name: "sends half a body",
    run: (server) => raw(server, `${HEAD}content-length: 100\r\n\r\n{"prompt": "a`),
    expected: () => 408,
    responses: 0
  },
  {
    name: "sends too much",
    run: (server) => status(post(server, "/v1/completions", { prompt: "x".repeat(30_000) })),
    expected: () => 413,
    responses: 0
  },
  {
    name: "sends garbage",
    run: (server) => raw(server, "\u0016\u0003\u0001 this is no HTTP\r\n\r\n"),
    expected: () => 400,
    responses: 0
  },
  {
    name: "sends broken JSON",
    run: (server, asked) => status(post(server, pathOf(asked), '{"prompt": [1, 2')),
    expected: () => 400,
    responses: 0
  },
  {
    name: "asks for nonsense",
    run: (server, asked) => status(post(server, pathOf(asked), { ...body(asked, 4), temperature: "hot", n: -1 })),
    expected: () => 400,
    responses: 0
  }
]
