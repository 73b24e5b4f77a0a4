import { RunStore, type RunStoreShape } from "@plumbline/store"
import { Effect } from "effect"
import { type MetricSinkShape, SinkFailed } from "./metric-sink.ts"

/** Metrics of one registered run into the run store; `truncate` drops its later samples and checkpoints as well. */
export const sqliteSink = (run: string): Effect.Effect<MetricSinkShape, never, RunStore> =>
  Effect.map(RunStore, (store) => ({
    write: (step, metrics) => sinking(store, store.appendMetrics(run, step, metrics)),
    truncate: (afterStep) => sinking(store, store.truncateMetrics(run, afterStep))
  }))

const sinking = <E extends { readonly message: string }>(store: RunStoreShape, writing: Effect.Effect<void, E>) =>
  Effect.mapError(writing, (error) => new SinkFailed({ file: store.file, reason: error.message }))
