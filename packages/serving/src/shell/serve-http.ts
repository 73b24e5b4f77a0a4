import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Schema, type Scope } from "effect"
import { HttpServer, type HttpServerError } from "effect/http"
import type { Server } from "node:http"
import type { Access } from "./access.ts"
import type { Admission } from "./admission.ts"
import { answer } from "./answer.ts"
import type { AllowedOrigins } from "./cross-origin.ts"
import type { Limits } from "./limits.ts"
import { type MetricsPage, shellMetrics } from "./metrics.ts"
import { nodeServer, onEveryRequest } from "./node-server.ts"
import { pulse } from "./pulse.ts"
import type { Route } from "./route.ts"

export interface ServeOptions {
  readonly routes: ReadonlyArray<Route>
  readonly limits: Limits
  readonly access: Access
  /** Web pages that may use it; none when absent. */
  readonly allowedOrigins?: AllowedOrigins | undefined
  readonly admission: Admission
  readonly metrics: MetricsPage
  readonly host: string
  /** 0 takes any free one. */
  readonly port: number
  /** Of the thread that says that the process lives, 0 for any free one; there is none when absent. */
  readonly pulsePort?: number | undefined
}

/** The address cannot be listened on. */
export class ServerUnavailable extends Schema.TaggedError<ServerUnavailable>()("ServerUnavailable", {
  host: Schema.String,
  port: Schema.Int,
  reason: Schema.String
}) {
  override get message() {
    return `cannot listen on ${this.host}, port ${this.port}: ${this.reason}`
  }
}

/** A server that listens. */
export interface Listening {
  /** `http://127.0.0.1:8000` */
  readonly url: string
  /** Requests whose answers are not yet sent to the end. */
  readonly inFlight: () => number
}

/** How often a draining server looks for connections that it can close. */
const DRAIN_CHECK_MS = 50

/**
 * Serves the routes until the scope closes. Then no connection is taken any more, running requests have
 * `maxDrainSeconds` to finish, and what is left is cut off.
 */
export const serveHttp = (options: ServeOptions): Effect.Effect<Listening, ServerUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const { admission, host, limits, metrics, port, pulsePort } = options
    const pulseAt = pulsePort === undefined ? undefined : yield* pulse(host, pulsePort)
    const node = nodeServer(limits)
    const inFlight = countResponses(node)
    metrics.watch(shellMetrics.inFlight, inFlight)
    metrics.watch(shellMetrics.waiting, admission.waiting)
    metrics.watch(shellMetrics.running, admission.running)
    metrics.watch(shellMetrics.residentBytes, () => process.memoryUsage.rss())
    const listen = { host, port, gracefulShutdownTimeout: limits.maxDrainSeconds * 1000 }
    // nothing may wait between listening and serving: who connects meanwhile would never be answered
    const server = yield* NodeHttpServer.make(() => node, listen).pipe(
      Effect.mapError(({ cause }) => new ServerUnavailable({ host, port, reason: reasonOf(cause) }))
    )
    // Finalizers run from the last to the first: drain, interrupt what still runs, cut what is still connected.
    yield* Effect.addFinalizer(() => Effect.sync(() => node.closeAllConnections()))
    let draining = false
    yield* server.serve(answer({ ...options, pulseAt }, () => draining))
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        draining = true
        closeWhenDone(node, inFlight)
      })
    )
    return { url: HttpServer.formatAddress(server.address), inFlight }
  })

const countResponses = (node: Server): (() => number) => {
  let open = 0
  onEveryRequest(node, (_, response) => {
    open++
    response.once("close", () => open--)
  })
  return () => open
}

/** Closes connections that wait for a next request, and all of them, half-sent requests too, after the last answer. */
const closeWhenDone = (node: Server, inFlight: () => number): void => {
  const close = () => (inFlight() === 0 ? node.closeAllConnections() : node.closeIdleConnections())
  const timer = setInterval(close, DRAIN_CHECK_MS)
  node.once("close", () => clearInterval(timer))
  close()
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "this user may not listen there; choose a port from 1024 on",
  EADDRINUSE: "something else listens there; choose another --port",
  EADDRNOTAVAIL: "this machine has no such address",
  ENOTFOUND: "there is no such host"
}

const reasonOf = (cause: HttpServerError.ServeError["cause"]): string => {
  const { code, message } = cause as NodeJS.ErrnoException
  return REASONS[code ?? ""] ?? message
}
