import { Context, Metric } from "effect"
import { PrometheusMetrics } from "effect/observability"

/** Numbers of one server, apart from those of others in the process. */
export interface MetricsPage {
  readonly add: <Input>(metric: Metric.Metric<Input, unknown>, input: Input, labels?: Metric.Metric.Attributes) => void
  /** Read when the page is asked for. */
  readonly watch: (metric: Metric.Gauge<number>, read: () => number) => void
  /** The same of a count that somebody else keeps. @param read the total */
  readonly watchTotal: (metric: Metric.Counter<number>, read: () => number) => void
  /** In Prometheus' text format, version 0.0.4. */
  readonly text: () => string
}

export const metricsPage = (): MetricsPage => {
  const context = Context.make(Metric.MetricRegistry, new Map())
  const watched: Array<() => void> = []
  return {
    add: (metric, input, labels) =>
      (labels === undefined ? metric : Metric.withAttributes(metric, labels)).updateUnsafe(input, context),
    watch: (metric, read) => void watched.push(() => metric.updateUnsafe(read(), context)),
    watchTotal: (metric, read) => {
      let known = 0
      watched.push(() => {
        const total = read()
        metric.updateUnsafe(total - known, context)
        known = total
      })
    },
    text: () => {
      for (const update of watched) update()
      return PrometheusMetrics.formatUnsafe(context)
    }
  }
}

/** Upper bounds in seconds, for anything from an error to a long generation. */
export const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600]

/** A count that only grows. */
export const totalMetric = (name: string, description: string): Metric.Counter<number> =>
  Metric.counter(name, { description, incremental: true })

export const shellMetrics = {
  requests: totalMetric(
    "plumbline_http_requests_total",
    "answered requests, by route and status; 499 = the client left first"
  ),
  seconds: Metric.histogram("plumbline_http_request_duration_seconds", {
    description: "from the first byte of a request to the last one of its answer",
    boundaries: SECONDS
  }),
  inFlight: Metric.gauge("plumbline_http_requests_in_flight", { description: "requests not yet answered to the end" }),
  waiting: Metric.gauge("plumbline_queue_depth", { description: "requests that wait for their turn" }),
  running: Metric.gauge("plumbline_requests_running", { description: "requests whose turn it is" }),
  residentBytes: Metric.gauge("process_resident_memory_bytes", { description: "memory of the process" })
}
