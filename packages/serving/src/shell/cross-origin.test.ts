import { Effect, Exit, Schema, Scope } from "effect"
import { HttpServerResponse } from "effect/http"
import { afterEach, describe, expect, it } from "vitest"
import { rawRequest } from "../testing/raw-client.ts"
import { bearerAccess } from "./access.ts"
import { admission } from "./admission.ts"
import type { AllowedOrigins } from "./cross-origin.ts"
import { Limits } from "./limits.ts"
import { metricsPage } from "./metrics.ts"
import { serveHttp } from "./serve-http.ts"

const scopes: Array<Scope.Closeable> = []
afterEach(async () => {
  for (const scope of scopes.splice(0)) await Effect.runPromise(Scope.close(scope, Exit.void))
})

const limits = Schema.decodeSync(Limits)({})

/** Asks a server with a token as a browser does for a page of `origin`. */
const asker = async (allowedOrigins?: AllowedOrigins) => {
  const scope = Scope.makeUnsafe()
  scopes.push(scope)
  const serving = serveHttp({
    routes: [{ method: "POST", path: "/echo", handle: () => Effect.succeed(HttpServerResponse.text("ok")) }],
    limits,
    admission: admission(limits),
    metrics: metricsPage(),
    access: bearerAccess("s3cret"),
    allowedOrigins,
    host: "127.0.0.1",
    port: 0
  })
  const { url } = await Effect.runPromise(Scope.provide(serving, scope))
  return (method: string, origin: string, ...headers: ReadonlyArray<string>) =>
    rawRequest(
      url,
      [`${method} /echo HTTP/1.1`, "host: x", `origin: ${origin}`, ...headers, "connection: close", "", ""].join("\r\n")
    )
}

const PAGE = "http://localhost:3000"
const TOKEN = "authorization: Bearer s3cret"
const PREFLIGHT = ["access-control-request-method: POST", "access-control-request-headers: authorization,x-y"]

describe("pages of other origins", () => {
  it("are told before they ask what they may send, without the token", async () => {
    const ask = await asker([PAGE])
    const { body, headers, status } = await ask("OPTIONS", PAGE, ...PREFLIGHT)
    expect([status, body]).toEqual([204, ""])
    expect(headers).toMatchObject({
      "access-control-allow-origin": PAGE,
      "access-control-allow-methods": "GET, POST",
      "access-control-allow-headers": "authorization,x-y",
      vary: "origin"
    })
  })

  it("may read every answer, refusals too", async () => {
    const ask = await asker(["http://other.example", PAGE])
    for (const [status, ...token] of [[200, TOKEN], [401]] as const) {
      const answer = await ask("POST", PAGE, ...token)
      expect([answer.status, answer.headers["access-control-allow-origin"]]).toEqual([status, PAGE])
      expect(answer.headers["access-control-expose-headers"]).toBe("x-request-id, retry-after")
    }
  })

  it("may all where all are allowed, and still need the token", async () => {
    const ask = await asker(["*"])
    expect((await ask("OPTIONS", PAGE, ...PREFLIGHT)).status).toBe(204)
    expect((await ask("POST", PAGE)).status).toBe(401)
    expect((await ask("POST", PAGE, TOKEN)).headers["access-control-allow-origin"]).toBe(PAGE)
  })

  it.each([[undefined], [[]], [["http://localhost:3001"]], [["http://localhost"]]])(
    "are refused by name where only %j may",
    async (allowed) => {
      const ask = await asker(allowed)
      const { body, headers, status } = await ask("OPTIONS", PAGE, ...PREFLIGHT)
      expect([status, headers["access-control-allow-origin"]]).toEqual([403, undefined])
      expect(JSON.parse(body).error).toMatchObject({
        message: `pages of ${PAGE} may not use this server; plumb serve --allow-origin names those that may`,
        code: "origin_not_allowed"
      })
      expect((await ask("POST", PAGE, TOKEN)).headers["access-control-allow-origin"]).toBe(undefined)
    }
  )

  it("are none of an OPTIONS request that no browser sends", async () => {
    const ask = await asker([PAGE])
    expect((await ask("OPTIONS", PAGE, TOKEN)).status).toBe(405)
  })
})
