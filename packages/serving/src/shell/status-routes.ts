import { Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import type { MetricsPage } from "./metrics.ts"
import type { RequestRefused } from "./request-refused.ts"
import type { Route } from "./route.ts"

/**
 * `/health`: the process is alive and what it needs works. `/ready`: it takes requests, too; not so while it drains.
 * `/metrics`: the numbers of the server.
 *
 * @param working fails where the server can do no more work; what else `/health` says
 */
export const statusRoutes = (
  metrics: MetricsPage,
  working: Effect.Effect<Readonly<Record<string, unknown>>, RequestRefused>
): ReadonlyArray<Route> => {
  const ok = () => Effect.map(working, (more) => HttpServerResponse.jsonUnsafe({ status: "ok", ...more }))
  return [
    { method: "GET", path: "/health", open: true, drains: true, handle: ok },
    { method: "GET", path: "/ready", open: true, handle: ok },
    {
      method: "GET",
      path: "/metrics",
      drains: true,
      handle: () =>
        Effect.sync(() =>
          HttpServerResponse.text(metrics.text(), { contentType: "text/plain; version=0.0.4; charset=utf-8" })
        )
    }
  ]
}
