import { Effect, Exit, Schema, Scope, Stream } from "effect"
import { HttpServerResponse } from "effect/http"
import { afterEach, describe, expect, it } from "vitest"
import { eventually, metricValue, openSocket, rawRequest, untilClosed } from "../testing/raw-client.ts"
import { bearerAccess, isLoopback, loopbackAccess } from "./access.ts"
import { admission } from "./admission.ts"
import { jsonBody } from "./json-body.ts"
import { Limits } from "./limits.ts"
import { metricsPage } from "./metrics.ts"
import type { Route } from "./route.ts"
import { serveHttp, type ServeOptions } from "./serve-http.ts"

const LIMITS = { maxBodyBytes: 1000, maxHeaderSeconds: 0.3, maxBodySeconds: 0.3, maxDrainSeconds: 1 }

const scopes: Array<Scope.Closeable> = []
afterEach(async () => {
  for (const scope of scopes.splice(0)) await Effect.runPromise(Scope.close(scope, Exit.void))
})

type Extra = Partial<ServeOptions> & { readonly limit?: Partial<Limits> }

/** A server with routes that show what the shell does for all of them. */
const start = async ({ limit, ...extra }: Extra = {}) => {
  const limits = Schema.decodeSync(Limits)({ ...LIMITS, ...limit })
  const admitted = admission(limits)
  const metrics = metricsPage()
  const seen = { interrupted: 0, finished: 0, pulled: 0 }
  const routes: ReadonlyArray<Route> = [
    {
      method: "GET",
      path: "/health",
      open: true,
      drains: true,
      handle: () => Effect.succeed(HttpServerResponse.text("ok"))
    },
    { method: "GET", path: "/broken", handle: () => Effect.die(new Error("secret of the server")) },
    { method: "GET", path: "/things/*", handle: (_, rest) => Effect.succeed(HttpServerResponse.text(rest)) },
    {
      method: "POST",
      path: "/echo",
      handle: (request) =>
        Effect.gen(function* () {
          yield* admitted.enter
          const body = (yield* jsonBody(request, limits)) as { readonly wait?: number }
          yield* admitted.turn
          yield* Effect.sleep(body.wait ?? 0).pipe(Effect.onInterrupt(() => Effect.sync(() => seen.interrupted++)))
          seen.finished++
          return HttpServerResponse.jsonUnsafe(body)
        })
    },
    {
      method: "GET",
      path: "/flood",
      handle: () =>
        Effect.succeed(
          HttpServerResponse.stream(
            Stream.fromEffectRepeat(Effect.sync(() => (seen.pulled++, new Uint8Array(1 << 16)))).pipe(
              Stream.ensuring(Effect.sync(() => seen.interrupted++))
            )
          )
        )
    }
  ]
  const scope = Scope.makeUnsafe()
  scopes.push(scope)
  const options = { routes, limits, admission: admitted, metrics, access: loopbackAccess, host: "127.0.0.1", port: 0 }
  const listening = await Effect.runPromise(Scope.provide(serveHttp({ ...options, ...extra }), scope))
  const post = (path: string, body: unknown, init: RequestInit = {}) =>
    fetch(listening.url + path, {
      method: "POST",
      body: typeof body === "string" ? body : JSON.stringify(body),
      headers: { "content-type": "application/json" },
      ...init
    })
  const close = () => Effect.runPromise(Scope.close(scope, Exit.void))
  return { ...listening, post, seen, metrics, admitted, close }
}

const errorOf = async (answer: Response) =>
  [
    answer.status,
    ((await answer.json()) as { readonly error: { readonly message: string; readonly type: string } }).error
  ] as const

describe("the HTTP shell", () => {
  it("answers what it does not serve with 404, and other methods with 405 and those it takes", async () => {
    const { url } = await start()
    expect((await errorOf(await fetch(`${url}/nothing`)))[0]).toBe(404)
    const wrong = await fetch(`${url}/echo`)
    expect(wrong.headers.get("allow")).toBe("POST")
    expect(await errorOf(wrong)).toMatchObject([405, { type: "invalid_request_error", code: "method_not_allowed" }])
    expect(await (await fetch(`${url}/things/a%2Fb?c=d`)).text()).toBe("a/b")
    expect((await fetch(`${url}/health`, { method: "HEAD" })).status).toBe(200)
    expect((await fetch(`${url}/health/?a=b`)).status).toBe(200)
    expect((await fetch(`${url}/health//`)).status).toBe(404)
    expect((await fetch(url)).status).toBe(404)
  })

  it.each([
    ["half an object", "{", {}, 400],
    ["broken UTF-8", "", { body: Uint8Array.of(0x22, 0xff, 0x22) }, 400],
    ["text", "{}", { headers: { "content-type": "text/plain" } }, 415],
    ["gzip", "{}", { headers: { "content-type": "application/json", "content-encoding": "gzip" } }, 415],
    ["Latin 1", "{}", { headers: { "content-type": "application/json; charset=latin1" } }, 415],
    ["no charset's name", "{}", { headers: { "content-type": 'application/json;charset=""' } }, 415],
    ["too long a body", JSON.stringify("x".repeat(2000)), {}, 413]
  ])("refuses %s with a reason", async (_, body, init, status) => {
    const { post } = await start()
    const [got, error] = await errorOf(await post("/echo", body, init))
    expect([got, typeof error.message, error.type]).toEqual([status, "string", "invalid_request_error"])
  })

  it.each([
    "application/json; charset=utf-8",
    'application/json; Charset="UTF-8"',
    "application/json;charset=us-ascii"
  ])("reads %s", async (type) => {
    const { post } = await start()
    const headers = { "content-type": type, "content-encoding": "Identity" }
    expect((await post("/echo", "{}", { headers })).status).toBe(200)
  })

  it("answers clients that send all of too long a body before they read", async () => {
    const { url } = await start()
    const length = 8 * 2 ** 20
    const socket = await openSocket(url)
    const head = `POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n`
    socket.pause().write(`${head}connection: close\r\n\r\n`)
    await new Promise((resolve) => socket.write(new Uint8Array(length), resolve))
    const answer = untilClosed(socket)
    socket.resume()
    expect((await answer).status).toBe(413)
  })

  it("gives every answer an id of its own", async () => {
    const { url } = await start()
    const ids = await Promise.all([1, 2].map(async () => (await fetch(`${url}/health`)).headers.get("x-request-id")))
    expect(new Set(ids).size).toBe(2)
    expect(ids).not.toContain(null)
  })

  it("stops reading a body of unknown length at the limit", async () => {
    const { url } = await start()
    const chunk = `3e8\r\n${"x".repeat(1000)}\r\n`
    const head =
      "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    const socket = await openSocket(url)
    const answer = untilClosed(socket)
    socket.write(head + chunk + chunk)
    const timer = setInterval(() => socket.write(chunk), 5)
    expect((await answer).status).toBe(413)
    clearInterval(timer)
  })

  it("gives clients a time for headers and a time for the body", async () => {
    const { url } = await start()
    const head = "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    const [noHead, noBody] = await Promise.all([
      rawRequest(url, head),
      rawRequest(url, `${head}content-length: 10\r\n\r\n{`)
    ])
    expect([noHead.status, noBody.status]).toEqual([408, 408])
    for (const { body } of [noHead, noBody]) expect(JSON.parse(body).error.type).toBe("invalid_request_error")
  })

  it.each([
    ["TLS", "\u0016\u0003\u0001 this is TLS\r\n\r\n", 400],
    ["no host", "GET /health HTTP/1.1\r\nconnection: close\r\n\r\n", 400],
    ["long headers", `GET / HTTP/1.1\r\nhost: localhost\r\nx: ${"y".repeat(20_000)}\r\n\r\n`, 431],
    [
      "two lengths",
      "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
      400
    ]
  ])("answers garbage and serves the next client: %s", async (_, bytes, status) => {
    const { url } = await start()
    const answer = await rawRequest(url, bytes)
    expect(answer.status).toBe(status)
    expect(JSON.parse(answer.body).error.message).toMatch(/\w+ \w+/)
    expect((await fetch(`${url}/health`)).status).toBe(200)
  })

  it("wants the token, where there is one", async () => {
    const { url } = await start({ access: bearerAccess("s3cret") })
    const ask = (authorization?: string) =>
      fetch(`${url}/things/x`, authorization === undefined ? {} : { headers: { authorization } })
    expect(await errorOf(await ask())).toMatchObject([401, { code: "invalid_api_key", type: "authentication_error" }])
    expect((await ask("Bearer s3cre")).status).toBe(401)
    expect((await ask("Basic s3cret")).status).toBe(401)
    expect((await ask("Bearer s3cret")).status).toBe(200)
    expect((await fetch(`${url}/health`)).status).toBe(200)
    expect((await fetch(`${url}/unknown`)).status).toBe(401)
  })

  it("without a token serves loopback names alone", async () => {
    const { url } = await start()
    const ask = (host: string) => rawRequest(url, `GET /health HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`)
    const things = (host: string) =>
      rawRequest(url, `GET /things/x HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`)
    expect((await things("evil.example:80")).status).toBe(403)
    expect((await things("localhost:80")).status).toBe(200)
    expect((await things("[::1]:80")).status).toBe(200)
    expect((await ask("evil.example")).status).toBe(200)
    // HTTP/1.0 has no need of the header
    expect((await rawRequest(url, "GET /health HTTP/1.0\r\n\r\n")).status).toBe(200)
    expect(["127.0.0.1", "127.9.9.9", "::1", "localhost"].every(isLoopback)).toBe(true)
    expect(["0.0.0.0", "::", "10.0.0.1", "127.0.0.1.evil.example", "localhost.evil.example"].some(isLoopback)).toBe(
      false
    )
  })

  it("queues, and says when to come again where the queue is full", async () => {
    const { admitted, metrics, post } = await start({ limit: { maxConcurrency: 1, maxQueue: 1 } })
    const first = post("/echo", { wait: 300 })
    await eventually(() => admitted.running() === 1)
    const second = post("/echo", { wait: 0 })
    await eventually(() => admitted.waiting() === 1)
    expect(metricValue(metrics.text(), "plumbline_queue_depth")).toBe(1)
    const third = await post("/echo", {})
    expect(Number(third.headers.get("retry-after"))).toBeGreaterThanOrEqual(1)
    expect(await errorOf(third)).toMatchObject([429, { type: "rate_limit_error", code: "queue_full" }])
    expect([(await first).status, (await second).status]).toEqual([200, 200])
    await eventually(() => admitted.running() + admitted.waiting() === 0)
  })

  it("interrupts the work of a client that leaves, and gives its turn away", async () => {
    const { admitted, inFlight, metrics, post, seen } = await start({ limit: { maxConcurrency: 1 } })
    const leaver = new AbortController()
    const gone = post("/echo", { wait: 60_000 }, { signal: leaver.signal })
    await eventually(() => admitted.running() === 1)
    leaver.abort()
    await expect(gone).rejects.toThrow()
    expect((await post("/echo", { wait: 0 })).status).toBe(200)
    expect(seen.interrupted).toBe(1)
    await eventually(() => inFlight() === 0)
    const left = 'plumbline_http_requests_total{route="/echo",status="499"}'
    expect(metricValue(metrics.text(), left)).toBe(1)
  })

  it("cuts off a client that does not read", async () => {
    const { inFlight, seen, url } = await start({ limit: { maxWriteSeconds: 0.3 } })
    const socket = await openSocket(url)
    socket.on("error", () => {})
    socket.pause().write("GET /flood HTTP/1.1\r\nhost: localhost\r\n\r\n")
    await eventually(() => seen.interrupted === 1)
    await eventually(() => inFlight() === 0)
    socket.destroy()
  })

  it("gives up on a request that takes too long", async () => {
    const { post, seen } = await start({ limit: { maxRequestSeconds: 0.2 } })
    expect(await errorOf(await post("/echo", { wait: 60_000 }))).toMatchObject([504, { type: "server_error" }])
    expect(seen.interrupted).toBe(1)
  })

  it("keeps what broke to itself", async () => {
    const { url } = await start()
    const [status, error] = await errorOf(await fetch(`${url}/broken`))
    expect([status, error.type]).toEqual([500, "server_error"])
    expect(error.message).not.toContain("secret")
  })

  it("finishes what runs before it closes, and takes nothing new", async () => {
    const { admitted, close, post, seen, url } = await start()
    const running = post("/echo", { wait: 300 })
    const kept = await openSocket(url)
    const late = untilClosed(kept)
    await eventually(() => admitted.running() === 1)
    kept.write("GET /things/x HTTP/1.1\r\nhost: localhost\r\n") // its head ends after the drain began
    const closed = close()
    await expect(eventually(() => fetch(`${url}/health`).then(() => false))).rejects.toThrow()
    kept.write("\r\n")
    expect((await late).status).toBe(503)
    const { headers, status } = await running
    expect([status, headers.get("connection")]).toEqual([200, "close"])
    await closed
    expect(seen.finished).toBe(1)
  })

  it("cuts off what does not finish in time", async () => {
    const { admitted, close, post, seen } = await start({ limit: { maxDrainSeconds: 0.2 } })
    const running = post("/echo", { wait: 60_000 })
    await eventually(() => admitted.running() === 1)
    await close()
    expect(await errorOf(await running)).toMatchObject([503, { code: "shutting_down" }])
    expect(seen.interrupted).toBe(1)
  })

  it("says why it cannot listen", async () => {
    const { url } = await start()
    const port = Number(new URL(url).port)
    await expect(start({ port })).rejects.toThrow(/cannot listen on 127\.0\.0\.1, port \d+: something else listens/)
  })
})
