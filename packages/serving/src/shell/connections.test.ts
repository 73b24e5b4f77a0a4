import { Effect, Exit, Schema, Scope } from "effect"
import { HttpServerResponse } from "effect/http"
import { createServer } from "node:net"
import { afterEach, describe, expect, it } from "vitest"
import { eventually, openSocket, rawRequest, untilClosed } from "../testing/raw-client.ts"
import { loopbackAccess } from "./access.ts"
import { admission } from "./admission.ts"
import { jsonBody } from "./json-body.ts"
import { Limits } from "./limits.ts"
import { metricsPage } from "./metrics.ts"
import type { Route } from "./route.ts"
import { type Listening, serveHttp, type ServeOptions } from "./serve-http.ts"

const scopes: Array<Scope.Closeable> = []
afterEach(async () => {
  for (const scope of scopes.splice(0)) await Effect.runPromise(Scope.close(scope, Exit.void))
})

const limits = Schema.decodeSync(Limits)({ maxDrainSeconds: 5 })

let begun = 0
const echo: Route = {
  method: "POST",
  path: "/echo",
  handle: (request) =>
    Effect.gen(function* () {
      begun++
      const body = yield* jsonBody(request, limits)
      yield* Effect.sleep(300)
      return HttpServerResponse.jsonUnsafe(body)
    })
}
const health: Route = { method: "GET", path: "/health", handle: () => Effect.succeed(HttpServerResponse.text("ok")) }

const start = (extra: Partial<ServeOptions> = {}): Promise<Listening & { readonly close: () => Promise<void> }> => {
  const scope = Scope.makeUnsafe()
  scopes.push(scope)
  const serving = serveHttp({
    routes: [echo, health],
    limits,
    admission: admission(limits),
    metrics: metricsPage(),
    access: loopbackAccess,
    host: "127.0.0.1",
    port: 0,
    ...extra
  })
  return Effect.runPromise(
    Effect.map(Scope.provide(serving, scope), (listening) => ({
      ...listening,
      close: () => Effect.runPromise(Scope.close(scope, Exit.void))
    }))
  )
}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { readonly port: number }
      server.close(() => resolve(port))
    })
  })

const POST = "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 2\r\n"

describe("connections", () => {
  it("answers who connects the moment that it listens", async () => {
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    const starting = start({ port, pulsePort: 0 })
    await eventually(async () => {
      await new Promise((resolve) => setImmediate(resolve))
      return openSocket(url).then(
        (socket) => !!socket.destroy(),
        () => false
      )
    })
    const answer = rawRequest(url, "GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    const silence = new Promise((resolve) => setTimeout(resolve, 2000, { status: "no answer" }))
    expect(await Promise.race([answer, silence])).toMatchObject({ status: 200 })
    await starting
  })

  it("finishes a request before it closes, also one that waited to be told to go on", async () => {
    begun = 0
    const { close, url } = await start()
    const socket = await openSocket(url)
    const answer = untilClosed(socket)
    socket.write(`${POST}expect: 100-continue\r\n\r\n{}`)
    await eventually(() => begun === 1)
    await close()
    expect((await answer).body).toMatch(/^HTTP\/1\.1 200 OK/)
  })

  it("keeps the connection of a client that offers another protocol, as Java's does", async () => {
    const { url } = await start()
    const upgrade = "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMA\r\n"
    const socket = await openSocket(url)
    const answers = untilClosed(socket)
    socket.write(`${POST}${upgrade}\r\n{}`)
    await new Promise((resolve) => socket.once("data", resolve))
    socket.write(`${POST}connection: close\r\n\r\n{}`)
    const { body, status } = await answers
    expect([status, body.match(/HTTP\/1\.1 200 OK/g)?.length]).toEqual([200, 1])
  })

  it("answers whole requests before it refuses what comes after them", async () => {
    const { url } = await start()
    const { body, status } = await rawRequest(url, `${POST}\r\n{}${POST}\r\n{}`, "NO HTTP AT ALL\r\n\r\n", "\r\n\r\n")
    const rest = body.match(/HTTP\/1\.1 \d+/g)
    expect([status, rest]).toEqual([200, ["HTTP/1.1 200", "HTTP/1.1 400"]])
  })

  const CHUNKED =
    "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n"
  it.each([
    ["a chunk of no length", `${CHUNKED}\r\n`, "no length\r\n", 400],
    ["a method for proxies", "CONNECT example.org:443 HTTP/1.1\r\nhost: example.org\r\n\r\n", "", 405],
    ["an expectation", `${POST}expect: a-miracle\r\n\r\n`, "{}", 417],
    ["a request without a host", "GET /health HTTP/1.1\r\nconnection: close\r\n\r\n", "", 400],
    ["two hosts", `${POST}host: example.org\r\nconnection: close\r\n\r\n`, "{}", 400],
    ["two hosts on an open page", "GET /health HTTP/1.1\r\nhost: a\r\nhost: a\r\nconnection: close\r\n\r\n", "", 400]
  ])("refuses with a reason %s", async (_, first, then, expected) => {
    const { url } = await start()
    const { body, status } = await rawRequest(url, first, then)
    expect(status).toBe(expected)
    expect(JSON.parse(body).error.message).toMatch(/\w/)
  })

  it("refuses a body that ends before its length", async () => {
    const { url } = await start()
    const socket = await openSocket(url)
    const answer = untilClosed(socket)
    socket.end(`${POST}\r\n{`)
    expect((await answer).status).toBe(400)
  })

  it.each(["maxHeaderSeconds", "maxBodySeconds", "maxWriteSeconds", "maxRequestSeconds", "maxDrainSeconds"])(
    "takes no %s that a timer could not wait, and would not",
    (limit) => {
      expect(() => Schema.decodeUnknownSync(Limits)({ [limit]: 2 ** 31 / 1000 })).toThrow("2000000")
      expect(() => Schema.decodeUnknownSync(Limits)({ [limit]: 1e6 })).not.toThrow()
    }
  )
})
