import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { PULSE_HEADER } from "@plumbline/rollout-generation"
import { Cause, Effect, type Scope } from "effect"
import { HttpBody, HttpServerRequest, HttpServerResponse } from "effect/http"
import { randomUUID } from "node:crypto"
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Access } from "./access.ts"
import { type AllowedOrigins, crossOriginHeaders, isPreflight, preflightAnswer } from "./cross-origin.ts"
import type { Limits } from "./limits.ts"
import { type MetricsPage, shellMetrics } from "./metrics.ts"
import { errorAnswer } from "./error-answer.ts"
import { RequestRefused } from "./request-refused.ts"
import { matchRoute, type Route } from "./route.ts"
import { type UnreadWatch, unreadWatch } from "./unread.ts"

interface AnswerOptions {
  readonly routes: ReadonlyArray<Route>
  readonly limits: Limits
  readonly access: Access
  readonly metrics: MetricsPage
  readonly allowedOrigins?: AllowedOrigins | undefined
  /** Port of the thread that says that the process lives. */
  readonly pulseAt?: number | undefined
}

/** Answers one request; whatever goes wrong becomes an answer too. */
export const answer = (options: AnswerOptions, draining: () => boolean) =>
  Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const made = yield* answerTo(options, request, draining)
    const crossOrigin = crossOriginHeaders(options.allowedOrigins ?? [], request)
    return HttpServerResponse.setHeaders(made, { ...headersOf(options, draining()), ...crossOrigin })
  })

const answerTo = (options: AnswerOptions, request: HttpServerRequest.HttpServerRequest, draining: () => boolean) =>
  Effect.gen(function* () {
    const response = NodeHttpServerRequest.toServerResponse(request) as ServerResponse
    const watch = unreadWatch(response, options.limits.maxWriteSeconds)
    const matched = matchRoute(options.routes, request.method, request.url)
    const route = matched instanceof RequestRefused ? undefined : matched.route
    yield* measure(options.metrics, route?.path ?? "none", response, watch)
    if (isPreflight(request)) return preflightAnswer(options.allowedOrigins ?? [], request)
    const refused = admit(options, route, request, draining())
    if (refused !== undefined) return errorAnswer(refused)
    if (matched instanceof RequestRefused) return errorAnswer(matched)
    // the server runs all this uninterruptibly; work for a client that left must end
    const made = Effect.interruptible(inTime(matched.route.handle(request, matched.rest), options.limits))
    return yield* made.pipe(
      Effect.map((whole) => watched(whole, watch)),
      Effect.catchTag("RequestRefused", (error) => Effect.succeed(errorAnswer(error))),
      Effect.catchCause(unexpected)
    )
  })

const headersOf = ({ pulseAt }: AnswerOptions, draining: boolean) => ({
  "x-request-id": randomUUID(),
  ...(pulseAt !== undefined && { [PULSE_HEADER]: String(pulseAt) }),
  // who kept the connection would send the next request into its end
  ...(draining && { connection: "close" })
})

/** Counts a request when its scope closes: its answer is handed over, or its client gone. */
const measure = (
  { add }: MetricsPage,
  route: string,
  response: ServerResponse,
  watch: UnreadWatch
): Effect.Effect<void, never, Scope.Scope> => {
  const since = performance.now()
  return Effect.addFinalizer(() =>
    Effect.sync(() => {
      const status = response.writableEnded ? response.statusCode : 499
      add(shellMetrics.requests, 1, { route, status: String(status) })
      add(shellMetrics.seconds, (performance.now() - since) / 1000, { route })
      watch.rest()
    })
  )
}

const admit = (
  { access }: AnswerOptions,
  route: Route | undefined,
  request: HttpServerRequest.HttpServerRequest,
  draining: boolean
): RequestRefused | undefined => {
  const misaddressed = hostFault(NodeHttpServerRequest.toIncomingMessage(request))
  if (misaddressed !== undefined) return new RequestRefused({ status: 400, reason: misaddressed })
  const refused = route?.open === true ? undefined : access(request.headers)
  if (refused !== undefined) return refused
  if (!draining || route?.drains === true) return undefined
  return shuttingDown()
}

/** Of several hosts Node shows the first, and who stands before the server may have looked at another (RFC 9112, 3.2). */
const hostFault = ({
  httpVersion,
  rawHeaders
}: Pick<IncomingMessage, "httpVersion" | "rawHeaders">): string | undefined => {
  const { length } = rawHeaders.filter((text, i) => i % 2 === 0 && text.toLowerCase() === "host")
  if (length > 1) return `a request has one Host header; this one has ${length}`
  return length === 0 && httpVersion !== "1.0" ? "an HTTP/1.1 request has a Host header; this one has none" : undefined
}

const watched = (made: HttpServerResponse.HttpServerResponse, watch: UnreadWatch) =>
  made.body._tag === "Stream"
    ? HttpServerResponse.setBody(
        made,
        HttpBody.stream(watch.stream(made.body.stream), made.body.contentType, made.body.contentLength)
      )
    : made

const inTime = <A, R>(work: Effect.Effect<A, RequestRefused, R>, { maxRequestSeconds }: Limits) =>
  Effect.timeoutOrElse(work, {
    duration: maxRequestSeconds * 1000,
    orElse: () => {
      const reason = `there was no answer within ${maxRequestSeconds} s`
      return Effect.fail(new RequestRefused({ status: 504, reason, code: "timeout" }))
    }
  })

/** A defect is logged here and not shown to the client. What is interrupted has lost its client, or the server's time. */
const unexpected = (cause: Cause.Cause<never>) => {
  if (Cause.hasInterruptsOnly(cause)) return Effect.succeed(errorAnswer(shuttingDown()))
  const refused = new RequestRefused({ status: 500, reason: "something broke in the server; its log says what" })
  return Effect.as(Effect.logError("a request failed unexpectedly", cause), errorAnswer(refused))
}

const shuttingDown = () =>
  new RequestRefused({
    status: 503,
    reason: "this server is shutting down",
    code: "shutting_down",
    headers: { "retry-after": "5", connection: "close" }
  })
