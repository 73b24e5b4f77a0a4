import { RunStore } from "@plumbline/store"
import { Clock, Effect, Stream } from "effect"
import type { Trainable } from "../algorithm.ts"
import type { MicroBatch } from "../objective.ts"
import { RunContext } from "../run-context.ts"
import { RunJournal } from "../run-journal.ts"
import type { TrainingRun } from "../run.ts"
import { collectInto, MetricSink, type MetricRow } from "../sinks/metric-sink.ts"
import { train } from "../train.ts"
import type { Examiner } from "./examination.ts"

/** Makes the first step of a run, of which nothing is kept, and tells the examiner. */
export const examine = Effect.fn("examine")(function* <M extends Trainable, B extends MicroBatch, E, R>(
  { algorithm, options }: TrainingRun<M, B, E, R>,
  examiner: Examiner
) {
  const { output } = yield* RunContext
  const startedAt = new Date(yield* Clock.currentTimeMillis).toISOString()
  const { name } = algorithm
  yield* (yield* RunStore).register({ id: output, folder: output, name, algorithm: name, startedAt, config: {} })
  const rows: Array<MetricRow> = []
  let units: ReadonlyArray<number> = []
  const watched = {
    ...algorithm,
    experience: (position: number, end: number) =>
      algorithm
        .experience(position, end)
        .pipe(Stream.tap((batches) => Effect.sync(() => (units = batches.map(({ origins }) => origins.length)))))
  }
  const once = { ...options, maxSteps: 1, saveEvery: 0, evalEvery: 0 }
  yield* train({ algorithm: watched, options: once, extraFiles: {}, folder: output }).pipe(
    Effect.provideService(MetricSink, collectInto(rows)),
    Effect.provide(RunJournal.layerStore(output))
  )
  const { metrics } = rows[0]!
  return yield* examiner.seen({ algorithm: name, metrics, units, expected: algorithm.atFirst ?? {} })
})
