import { Effect, type Scope } from "effect"
import type { HttpServerRequest, HttpServerResponse } from "effect/http"
import { RequestRefused } from "./request-refused.ts"

export interface Route {
  readonly method: "GET" | "POST"
  /** Literal, or ending in `/*`, which stands for any rest. */
  readonly path: string
  /** Answers whoever asks, token or not. */
  readonly open?: boolean
  /** Answers while the server drains, too. */
  readonly drains?: boolean
  /** @param rest what `*` stands for, decoded. The scope lasts until the answer is sent, or the client is gone. */
  readonly handle: (
    request: HttpServerRequest.HttpServerRequest,
    rest: string
  ) => Effect.Effect<HttpServerResponse.HttpServerResponse, RequestRefused, Scope.Scope>
}

/** A path that clients know from other servers: 404, with the reason. */
export const notHere = (path: string, reason: string): Route => ({
  method: "POST",
  path,
  handle: () => Effect.fail(new RequestRefused({ status: 404, reason, code: "unknown_url" }))
})

export interface Matched {
  readonly route: Route
  readonly rest: string
}

/** The route of a request, whose path may end in a slash, or the refusal: 404, or 405 where the path takes another method. */
export const matchRoute = (routes: ReadonlyArray<Route>, method: string, url: string): Matched | RequestRefused => {
  const path = url.split("?")[0]!.replace(/(?<=.)\/$/, "")
  const here = routes.flatMap((route): ReadonlyArray<Matched> => {
    const rest = restOf(route.path, path)
    return rest === undefined ? [] : [{ route, rest }]
  })
  // A HEAD is a GET whose body the server leaves out.
  const wanted = method === "HEAD" ? "GET" : method
  const found = here.find(({ route }) => route.method === wanted)
  if (found !== undefined) return found
  if (here.length === 0) {
    return new RequestRefused({ status: 404, reason: `there is nothing at ${path}`, code: "unknown_url" })
  }
  const allowed = [...new Set(here.map(({ route }) => route.method))].join(", ")
  const reason = `${path} takes ${allowed}, not ${method}`
  return new RequestRefused({ status: 405, reason, code: "method_not_allowed", headers: { allow: allowed } })
}

const restOf = (pattern: string, path: string): string | undefined => {
  if (!pattern.endsWith("/*")) return path === pattern ? "" : undefined
  const head = pattern.slice(0, -1)
  if (!path.startsWith(head) || path.length === head.length) return undefined
  try {
    return decodeURIComponent(path.slice(head.length))
  } catch {
    return undefined
  }
}
