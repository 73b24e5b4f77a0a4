import { Effect, Stream } from "effect"
import type { HttpServerRequest } from "effect/http"
import { checkMedia, checkUtf8 } from "./body-head.ts"
import { hasMoreParts } from "./json-parts.ts"
import type { Limits } from "./limits.ts"
import { RequestRefused } from "./request-refused.ts"

type BodyLimits = Pick<Limits, "maxBodyBytes" | "maxBodySeconds">

/**
 * The JSON value that a request carries: 415 for other media, 413 if too long or of too many parts, 408 if too slow, 400 if it
 * is not JSON.
 *
 * @param mostParts texts, keys included, lists and objects of the body
 */
export const jsonBody = (
  request: HttpServerRequest.HttpServerRequest,
  limits: BodyLimits,
  mostParts = partsAllowed(limits)
): Effect.Effect<unknown, RequestRefused> =>
  Effect.gen(function* () {
    yield* checkMedia(request, "application/json")
    yield* checkUtf8(request)
    if (Number(request.headers["content-length"] ?? 0) > limits.maxBodyBytes) return yield* tooLong(limits)
    const bytes = yield* bodyBytes(request, limits).pipe(
      Effect.timeoutOrElse({ duration: limits.maxBodySeconds * 1000, orElse: () => Effect.fail(tooSlow(limits)) })
    )
    if (hasMoreParts(bytes, mostParts)) return yield* tooManyParts(mostParts)
    // megabytes take tens of milliseconds to look through, to parse and to be read by who asked: each in a turn of its own
    yield* Effect.yieldNow
    const value = yield* parsed(bytes)
    yield* Effect.yieldNow
    return value
  })

const parsed = (bytes: Uint8Array): Effect.Effect<unknown, RequestRefused> =>
  Effect.try({
    try: (): unknown => JSON.parse(utf8.decode(bytes)),
    catch: (cause) => new RequestRefused({ status: 400, reason: `the body is not JSON: ${(cause as Error).message}` })
  })

/** The stream, not the array buffer: giving that up closes the connection before the refusal is sent. */
const bodyBytes = (request: HttpServerRequest.HttpServerRequest, limits: BodyLimits) => {
  const parts: Array<Uint8Array> = []
  let length = 0
  const take = (part: Uint8Array) => {
    length += part.length
    parts.push(part)
    return length > limits.maxBodyBytes ? Effect.fail(tooLong(limits)) : Effect.void
  }
  return Stream.runForEach(request.stream, take).pipe(
    Effect.catchTag("HttpServerError", () => refuse(400, "the body broke off")),
    Effect.map(() => Buffer.concat(parts))
  )
}

const utf8 = new TextDecoder("utf-8", { fatal: true })

const refuse = (status: number, reason: string) => Effect.fail(new RequestRefused({ status, reason }))

const tooLong = ({ maxBodyBytes }: BodyLimits) =>
  new RequestRefused({
    status: 413,
    reason: `the body is longer than ${maxBodyBytes} bytes`,
    code: "body_too_large"
  })

/**
 * Texts, keys included, lists and objects of a body: with more, reading it would keep others waiting. Numbers are read faster. Who
 * allows longer bodies allows more.
 */
const partsAllowed = ({ maxBodyBytes }: BodyLimits): number => Math.max(100_000, Math.floor(maxBodyBytes / 40))

const tooManyParts = (most: number) =>
  Effect.fail(
    new RequestRefused({
      status: 413,
      reason: `the body has more than ${most} texts, keys, lists and objects`,
      code: "body_too_large"
    })
  )

const tooSlow = ({ maxBodySeconds }: BodyLimits) =>
  new RequestRefused({
    status: 408,
    reason: `the body did not arrive within ${maxBodySeconds} s`,
    code: "body_too_slow",
    headers: { connection: "close" }
  })
