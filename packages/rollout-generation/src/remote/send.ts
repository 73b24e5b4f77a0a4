import { Data, Effect, type Scope } from "effect"
import { HttpClient, type HttpClientError, HttpClientRequest, type HttpClientResponse } from "effect/http"
import type { LifeWatch } from "./life-watch.ts"
import type { RemoteOptions } from "./options.ts"

/** A request that had no answer to use. */
export class Unanswered extends Data.TaggedError("Unanswered")<{
  readonly reason: string
  /** Set where the server says that the request itself is wrong: the field, or "request". */
  readonly field?: string
  /** Whether the same request may succeed later. */
  readonly transient: boolean
  /** Whether there was no connection, or it broke. */
  readonly lost?: boolean
  /** Milliseconds that the server wants to be left alone. */
  readonly retryAfter?: number
}> {}

const TRANSIENT: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504])
/** Statuses by which a server refuses a request for what it says. */
const REFUSED: ReadonlySet<number> = new Set([400, 413, 422])

/**
 * Sends a request; every status but 2xx is a failure. The answer's body lives as long as the scope.
 *
 * @param body as data, as JSON already, or bytes; without one the request is a GET
 */
export type Send = (
  path: string,
  body?: Readonly<Record<string, unknown>> | string | Uint8Array
) => Effect.Effect<HttpClientResponse.HttpClientResponse, Unanswered, Scope.Scope>

/** @param life is told of every answer */
export const sender = (
  client: HttpClient.HttpClient,
  { baseUrl, headers = {}, token }: Pick<RemoteOptions, "baseUrl" | "headers" | "token">,
  life?: Pick<LifeWatch, "note">
): Send => {
  const scoped = HttpClient.withScope(client)
  const urlOf = (path: string) => `${path.startsWith("/") ? baseUrl.replace(/\/+$/, "") : baseUrl}${path}`
  return Effect.fnUntraced(function* (path, body) {
    const bare = HttpClientRequest.setHeaders(requestOf(urlOf(path), body), headers)
    const request = token === undefined ? bare : HttpClientRequest.bearerToken(bare, token)
    const response = yield* scoped.execute(request).pipe(Effect.mapError(disconnected))
    if (life !== undefined) yield* life.note(response.headers)
    return response.status >= 200 && response.status < 300 ? response : yield* refusal(response)
  })
}

const requestOf = (url: string, body: Parameters<Send>[1]): HttpClientRequest.HttpClientRequest => {
  if (body === undefined) return HttpClientRequest.get(url)
  const post = HttpClientRequest.post(url)
  if (body instanceof Uint8Array) return HttpClientRequest.bodyUint8Array(post, body, "application/octet-stream")
  return typeof body === "string"
    ? HttpClientRequest.bodyText(post, body, "application/json")
    : HttpClientRequest.bodyJsonUnsafe(post, body)
}

/** The connection could not be made, or broke. */
export const disconnected = ({ reason }: HttpClientError.HttpClientError): Unanswered => {
  const cause = "cause" in reason && reason.cause instanceof Error ? (reason.cause.cause ?? reason.cause) : undefined
  const said = cause instanceof Error ? cause.message : reason.message
  const transient = reason._tag !== "InvalidUrlError"
  return new Unanswered({ reason: `no connection (${said})`, transient, lost: true })
}

/** The JSON of an answer. What is there as a whole and is no JSON will be none the next time. */
export const jsonOf = ({ text }: HttpClientResponse.HttpClientResponse): Effect.Effect<unknown, Unanswered> =>
  Effect.flatMap(Effect.mapError(text, disconnected), (body) =>
    Effect.try({
      try: (): unknown => JSON.parse(body),
      catch: () => new Unanswered({ reason: `it answered with no JSON: ${body.slice(0, 200)}`, transient: false })
    })
  )

const refusal = (response: HttpClientResponse.HttpClientResponse) =>
  Effect.flatMap(
    Effect.orElseSucceed(response.text, () => ""),
    (text) => {
      const { message, param } = errorIn(text)
      const wait = secondsUntil(response.headers["retry-after"] ?? "")
      return Effect.fail(
        new Unanswered({
          reason: `status ${response.status}${message === "" ? "" : `, ${message}`}`,
          transient: TRANSIENT.has(response.status),
          ...(REFUSED.has(response.status) ? { field: param ?? "request" } : {}),
          ...(wait > 0 ? { retryAfter: wait * 1000 } : {})
        })
      )
    }
  )

/** `retry-after`: seconds, or a date as proxies write it. NaN where there is neither. */
const secondsUntil = (text: string): number => {
  const seconds = text === "" ? Number.NaN : Number(text)
  return Number.isNaN(seconds) ? (Date.parse(text) - Date.now()) / 1000 : seconds
}

/** OpenAI's `{ error: { message, param } }`, or the beginning of whatever was sent instead. */
const errorIn = (text: string): { readonly message: string; readonly param?: string } => {
  try {
    const { error, message } = JSON.parse(text) as {
      readonly error?: { readonly message?: unknown; readonly param?: unknown }
      readonly message?: unknown
    }
    const param = typeof error?.param === "string" ? { param: error.param } : {}
    return { message: String(error?.message ?? message ?? text).slice(0, 500), ...param }
  } catch {
    return { message: text.slice(0, 200) }
  }
}

/** Tries again after failures that may pass: each wait twice the last one, and at least what the server wants. */
export const persistently = <A, R>(
  attempt: Effect.Effect<A, Unanswered, R>,
  options: Pick<RemoteOptions, "maxRetries" | "reconnectSeconds" | "retryDelay">,
  tries = 0,
  lostFor = 0
): Effect.Effect<A, Unanswered, R> =>
  Effect.catchTag(attempt, "Unanswered", (failure) => {
    const { maxRetries = 6, reconnectSeconds = 4, retryDelay = 250 } = options
    if (!failure.transient) return Effect.fail(failure)
    const wait = Math.max(retryDelay * 2 ** tries, failure.retryAfter ?? 0)
    const lost = failure.lost === true ? lostFor + wait : 0
    if (tries >= maxRetries || lost > reconnectSeconds * 1000) {
      const reason = tries === 0 ? failure.reason : `${failure.reason}; tried ${tries + 1} times`
      return Effect.fail(new Unanswered({ reason, transient: true }))
    }
    return Effect.delay(persistently(attempt, options, tries + 1, lost), wait)
  })
