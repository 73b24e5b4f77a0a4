import { RunStore } from "@plumbline/store"
import { Clock, Effect, Stream } from "effect"
import type { Algorithm, Trainable } from "../algorithm.ts"
import { keptCheckpoints } from "../kept-checkpoints.ts"
import type { MicroBatch } from "../objective.ts"
import type { ProgressOptions } from "../progress-decision.ts"
import { RunContext } from "../run-context.ts"
import { RunJournal } from "../run-journal.ts"
import type { TrainingRun } from "../run.ts"
import { collectInto, MetricSink, type MetricRow } from "../sinks/metric-sink.ts"
import { train } from "../train.ts"
import type { Examiner } from "./examination.ts"

/** Makes the first step of a run, of which nothing is kept, and tells the examiner. */
export const examine = Effect.fn("examine")(function* <M extends Trainable, B extends MicroBatch, E, R>(
  { algorithm, options }: TrainingRun<M, B, E, R>,
  plan: ProgressOptions,
  examiner: Examiner
) {
  const { output } = yield* RunContext
  const startedAt = new Date(yield* Clock.currentTimeMillis).toISOString()
  const { name } = algorithm
  yield* (yield* RunStore).register({ id: output, folder: output, name, algorithm: name, startedAt, config: {} })
  const rows: Array<MetricRow> = []
  const { experience, seen } = watched(algorithm)
  const once = { ...options, maxSteps: 1, saveEvery: 0, evalEvery: 0 }
  const { models } = yield* train({
    algorithm: { ...algorithm, experience },
    options: once,
    extraFiles: {},
    folder: output
  }).pipe(Effect.provideService(MetricSink, collectInto(rows)), Effect.provide(RunJournal.layerStore(output)))
  const { metrics } = rows[0]!
  const { seconds, units } = seen()
  const trained = Object.values(models).flatMap((model) => [...model.variables])
  return yield* examiner.seen({
    algorithm: name,
    metrics,
    units,
    expected: algorithm.atFirst ?? {},
    seconds: { experience: seconds, step: metrics["timers/step"]! },
    stepsPerExperience: algorithm.stepsPerExperience ?? 1,
    steps: plan.maxSteps,
    checkpoints: keptCheckpoints(plan, options.keepCheckpoints),
    trainedParameters: trained.reduce((total, { size }) => total + size, 0)
  })
})

/** The experience of an algorithm, of whose first batch it is seen how long it took and how it is split. */
const watched = <M extends Trainable, B extends MicroBatch, E, R>(algorithm: Algorithm<M, B, E, R>) => {
  let begun = 0
  let first = { seconds: 0, units: [] as ReadonlyArray<number> }
  return {
    experience: (position: number, end: number) =>
      Stream.unwrap(
        Effect.map(Clock.currentTimeMillis, (now) => {
          begun = now
          return algorithm.experience(position, end)
        })
      ).pipe(
        Stream.tap((batches) =>
          Effect.map(Clock.currentTimeMillis, (now) => {
            first = { seconds: (now - begun) / 1000, units: batches.map(({ origins }) => origins.length) }
          })
        )
      ),
    seen: () => first
  }
}
