import { Effect, type Scope } from "effect"
import { HttpClient, HttpClientRequest, type HttpClientResponse } from "effect/http"
import { validateHeaderName, validateHeaderValue } from "node:http"
import { wholeText } from "./answer-text.ts"
import { disconnected } from "./disconnected.ts"
import type { LifeWatch } from "./life-watch.ts"
import type { RemoteOptions } from "./options.ts"
import { refusal } from "./refusal.ts"
import { Unanswered } from "./unanswered.ts"

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
  const sent = { ...headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) }
  const urlOf = (path: string) => `${path.startsWith("/") ? baseUrl.replace(/\/+$/, "") : baseUrl}${path}`
  return Effect.fnUntraced(function* (path, body) {
    const url = urlOf(path)
    const unfit = isAddress(url) ? unfitHeader(sent) : NO_ADDRESS
    if (unfit !== undefined) return yield* new Unanswered({ reason: unfit, transient: false })
    const request = HttpClientRequest.setHeaders(requestOf(url, body), sent)
    const response = yield* scoped.execute(request).pipe(Effect.mapError(disconnected))
    if (life !== undefined) yield* life.note(response.headers)
    return response.status >= 200 && response.status < 300 ? response : yield* refusal(response)
  })
}

const NO_ADDRESS = "this is no address of a server, which begins with http:// or https://"

const isAddress = (url: string): boolean => URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)

/** A token that was read with the end of its line, for one. Says nothing of the value. */
const unfitHeader = (headers: Readonly<Record<string, string>>): string | undefined => {
  for (const [name, value] of Object.entries(headers)) {
    try {
      validateHeaderName(name)
      validateHeaderValue(name, value)
    } catch {
      return `the header ${JSON.stringify(name)} cannot be sent: it has characters that no header may have`
    }
  }
  return undefined
}

const requestOf = (url: string, body: Parameters<Send>[1]): HttpClientRequest.HttpClientRequest => {
  if (body === undefined) return HttpClientRequest.get(url)
  const post = HttpClientRequest.post(url)
  if (body instanceof Uint8Array) return HttpClientRequest.bodyUint8Array(post, body, "application/octet-stream")
  return typeof body === "string"
    ? HttpClientRequest.bodyText(post, body, "application/json")
    : HttpClientRequest.bodyJsonUnsafe(post, body)
}

/** The JSON of an answer. What is there as a whole and is no JSON will be none the next time. */
export const jsonOf = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<unknown, Unanswered> =>
  Effect.flatMap(wholeText(response), (body) =>
    Effect.try({
      try: (): unknown => JSON.parse(body),
      catch: () => new Unanswered({ reason: `it answered with no JSON: ${body.slice(0, 200)}`, transient: false })
    })
  )

/** Milliseconds beyond which a server that wants to be left alone is one that fails. */
const MOST_PATIENCE = 300_000

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
    const { retryAfter = 0 } = failure
    if (retryAfter > MOST_PATIENCE) {
      const reason = `${failure.reason}; it wants to be left alone for ${Math.ceil(retryAfter / 1000)} s`
      return Effect.fail(new Unanswered({ reason, transient: true }))
    }
    const wait = Math.max(retryDelay * 2 ** tries, retryAfter)
    const lost = failure.lost === true ? lostFor + wait : 0
    if (tries >= maxRetries || lost > reconnectSeconds * 1000) {
      const reason = tries === 0 ? failure.reason : `${failure.reason}; tried ${tries + 1} times`
      return Effect.fail(new Unanswered({ reason, transient: true }))
    }
    return Effect.delay(persistently(attempt, options, tries + 1, lost), wait)
  })
