import { Effect, Stream } from "effect"
import type { HttpServerRequest } from "effect/http"
import type { Limits } from "./limits.ts"
import { RequestRefused } from "./request-refused.ts"

type BodyLimits = Pick<Limits, "maxBodyBytes" | "maxBodySeconds">

/** The JSON value that a request carries: 415 for other media, 413 if too long, 408 if too slow, 400 if it is not JSON. */
export const jsonBody = (
  request: HttpServerRequest.HttpServerRequest,
  limits: BodyLimits
): Effect.Effect<unknown, RequestRefused> =>
  Effect.gen(function* () {
    yield* checkHead(request, limits)
    const bytes = yield* bodyBytes(request, limits).pipe(
      Effect.timeoutOrElse({ duration: limits.maxBodySeconds * 1000, orElse: () => Effect.fail(tooSlow(limits)) })
    )
    return yield* Effect.try({
      try: (): unknown => JSON.parse(utf8.decode(bytes)),
      catch: (cause) => new RequestRefused({ status: 400, reason: `the body is not JSON: ${(cause as Error).message}` })
    })
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

const checkHead = ({ headers }: HttpServerRequest.HttpServerRequest, limits: BodyLimits) => {
  const media = (headers["content-type"] ?? "").split(";")[0]!.trim().toLowerCase()
  // Pages of other sites cannot send this type unasked, so a browser cannot be made to use a server without a token.
  if (media !== "application/json") return refuse(415, `the body must be application/json, not ${media || "untyped"}`)
  const coding = headers["content-encoding"] ?? "identity"
  if (coding !== "identity") return refuse(415, `content-encoding ${coding} is not read; send the body as it is`)
  if (Number(headers["content-length"] ?? 0) > limits.maxBodyBytes) return Effect.fail(tooLong(limits))
  return Effect.void
}

const refuse = (status: number, reason: string) => Effect.fail(new RequestRefused({ status, reason }))

const tooLong = ({ maxBodyBytes }: BodyLimits) =>
  new RequestRefused({
    status: 413,
    reason: `the body is longer than ${maxBodyBytes} bytes`,
    code: "body_too_large"
  })

const tooSlow = ({ maxBodySeconds }: BodyLimits) =>
  new RequestRefused({
    status: 408,
    reason: `the body did not arrive within ${maxBodySeconds} s`,
    code: "body_too_slow",
    headers: { connection: "close" }
  })
