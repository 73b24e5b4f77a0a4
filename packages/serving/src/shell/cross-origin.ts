import type { HttpServerRequest } from "effect/http"
import { HttpServerResponse } from "effect/http"
import { errorAnswer } from "./error-answer.ts"
import { RequestRefused } from "./request-refused.ts"

type Request = Pick<HttpServerRequest.HttpServerRequest, "headers" | "method">

/**
 * Web pages that may use the server from a browser (CORS), by their origins, as `http://localhost:3000`; `*` is any. Browsers
 * keep answers from other pages, and do not send them JSON.
 */
export type AllowedOrigins = ReadonlyArray<string>

/** Whether a browser asks what a page may send, before it sends that. */
export const isPreflight = ({ headers, method }: Request): boolean =>
  method === "OPTIONS" && headers["origin"] !== undefined && headers["access-control-request-method"] !== undefined

/** What a page may send, which it tells without a token: anything that a route takes, if it may send anything. */
export const preflightAnswer = (
  allowed: AllowedOrigins,
  { headers }: Request
): HttpServerResponse.HttpServerResponse => {
  const origin = headers["origin"]!
  if (!isAllowed(allowed, origin)) {
    const reason = `pages of ${origin.slice(0, 200)} may not use this server; plumb serve --allow-origin names those that may`
    return errorAnswer(new RequestRefused({ status: 403, reason, code: "origin_not_allowed" }))
  }
  return HttpServerResponse.empty({
    status: 204,
    headers: {
      "access-control-allow-methods": "GET, POST",
      "access-control-allow-headers": headers["access-control-request-headers"] ?? "authorization, content-type",
      "access-control-max-age": "600"
    }
  })
}

/** Headers of every answer, by which a browser hands it to the page that asked. */
export const crossOriginHeaders = (allowed: AllowedOrigins, { headers }: Request): Readonly<Record<string, string>> => {
  const origin = headers["origin"]
  if (allowed.length === 0 || origin === undefined) return {}
  return {
    // caches must not give one page what was said to another
    vary: "origin",
    ...(isAllowed(allowed, origin) && {
      "access-control-allow-origin": origin,
      "access-control-expose-headers": "x-request-id, retry-after"
    })
  }
}

const isAllowed = (allowed: AllowedOrigins, origin: string): boolean =>
  allowed.includes("*") || allowed.includes(origin)
