import { Context, Effect, Layer, Schema } from "effect"

/** The numbers of one step, by metric name (`loss`, `grad_norm`, `rewards/chosen` …). */
export type StepMetrics = Readonly<Record<string, number>>

/** A sink could not keep the metrics of a step. `file` is where they should have gone. */
export class SinkFailed extends Schema.TaggedError<SinkFailed>()("SinkFailed", {
  file: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `metrics could not be written to ${this.file}: ${this.reason}`
  }
}

/** Where the numbers of a run go. A sink closes, and flushes, with the scope it was made in. */
export interface MetricSinkShape {
  readonly write: (step: number, metrics: StepMetrics) => Effect.Effect<void, SinkFailed>
  /** On resume: drops what came after the checkpoint at `afterStep`. */
  readonly truncate: (afterStep: number) => Effect.Effect<void, SinkFailed>
}

export class MetricSink extends Context.Service<MetricSink, MetricSinkShape>()("@plumbline/training/MetricSink") {
  /** One sink that writes to each of `sinks` in their order and stops at the first that fails. */
  static readonly all = (sinks: ReadonlyArray<MetricSinkShape>): MetricSinkShape => ({
    write: (step, metrics) => Effect.forEach(sinks, (sink) => sink.write(step, metrics), { discard: true }),
    truncate: (afterStep) => Effect.forEach(sinks, (sink) => sink.truncate(afterStep), { discard: true })
  })

  /** Collects the rows into an array, which the test reads from `CollectedMetrics`. */
  static readonly layerTest: Layer.Layer<MetricSink | CollectedMetrics> = Layer.effectContext(
    Effect.sync(() => {
      const rows: Array<MetricRow> = []
      return Context.make(MetricSink, collectInto(rows)).pipe(Context.add(CollectedMetrics, rows))
    })
  )
}

export interface MetricRow {
  readonly step: number
  readonly metrics: StepMetrics
}

/** What `MetricSink.layerTest` was given so far, in order. */
export class CollectedMetrics extends Context.Service<CollectedMetrics, ReadonlyArray<MetricRow>>()(
  "@plumbline/training/CollectedMetrics"
) {}

/** A sink that appends to an array of the caller. */
export const collectInto = (rows: Array<MetricRow>): MetricSinkShape => ({
  write: (step, metrics) => Effect.sync(() => void rows.push({ step, metrics })),
  truncate: (afterStep) =>
    Effect.sync(() => {
      const kept = rows.filter(({ step }) => step <= afterStep)
      rows.splice(0, rows.length, ...kept)
    })
})
