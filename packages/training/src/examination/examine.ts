import { RunStore } from "@plumbline/store"
import { Clock, Effect, Stream } from "effect"
import type { Algorithm, Trainable } from "../algorithm.ts"
import { keptCheckpoints } from "../kept-checkpoints.ts"
import type { MicroBatch } from "../objective.ts"
import type { ProgressOptions } from "../progress-decision.ts"
import { RunContext } from "../run-context.ts"
import { RunJournal } from "../run-journal.ts"
import type { TrainingRun } from "../run.ts"
import { collectInto, MetricSink, type MetricRow, type MetricSinkShape } from "../sinks/metric-sink.ts"
import { train } from "../train.ts"
import type { Examiner } from "./examination.ts"

/** Of steps that are timed; one that has begun is ended. */
const MOST_SECONDS = 5

/** Makes the first step of a run, or as many as time allows where they are timed, keeps nothing, and tells the examiner. */
export const examine = Effect.fn("examine")(function* <M extends Trainable, B extends MicroBatch, E, R>(
  { algorithm, options }: TrainingRun<M, B, E, R>,
  plan: ProgressOptions,
  examiner: Examiner
) {
  const { output } = yield* RunContext
  const startedAt = new Date(yield* Clock.currentTimeMillis).toISOString()
  const { name, stepsPerExperience = 1 } = algorithm
  yield* (yield* RunStore).register({ id: output, folder: output, name, algorithm: name, startedAt, config: {} })
  const few = examiner.timed === true ? { maxSteps: plan.maxSteps, maxSeconds: MOST_SECONDS } : { maxSteps: 1 }
  const watch = watched(algorithm)
  const { models } = yield* train({
    algorithm: { ...algorithm, experience: watch.experience },
    options: { ...options, ...few, saveEvery: 0, evalEvery: 0 },
    extraFiles: {},
    folder: output
  }).pipe(Effect.provideService(MetricSink, watch.sink), Effect.provide(RunJournal.layerStore(output)))
  const { batches, rows } = watch
  const trained = Object.values(models).flatMap((model) => [...model.variables])
  // within one experience the data of a later step are there already
  const got = batches.filter((_, step) => step % stepsPerExperience === 0)
  return yield* examiner.seen({
    algorithm: name,
    metrics: rows[0]!.metrics,
    units: batches[0]!.units,
    expected: algorithm.atFirst ?? {},
    seconds: {
      experience: usual(got.map(({ seconds }) => seconds)),
      step: usual(rows.map(({ metrics }) => metrics["timers/step"]!))
    },
    stepsPerExperience,
    steps: plan.maxSteps,
    checkpoints: keptCheckpoints(plan, options.keepCheckpoints),
    trainedParameters: trained.reduce((total, { size }) => total + size, 0)
  })
})

/** The median; the first one, in which much is made ready, counts where it is alone. */
const usual = (seconds: ReadonlyArray<number>): number => {
  const later = seconds.slice(seconds.length > 1 ? 1 : 0).toSorted((a, b) => a - b)
  return later[Math.floor(later.length / 2)]!
}

interface SeenBatch {
  /** From the end of the step before. */
  readonly seconds: number
  readonly units: ReadonlyArray<number>
}

/** The experience of an algorithm and a sink beside it: what each batch took, and how it is split. */
const watched = <M extends Trainable, B extends MicroBatch, E, R>(algorithm: Algorithm<M, B, E, R>) => {
  let begun = 0
  const begin = Effect.map(Clock.currentTimeMillis, (now) => void (begun = now))
  const batches: Array<SeenBatch> = []
  const rows: Array<MetricRow> = []
  const collected = collectInto(rows)
  const sink: MetricSinkShape = {
    ...collected,
    write: (step, metrics) => Effect.andThen(collected.write(step, metrics), begin)
  }
  const experience = (position: number, end: number) =>
    Stream.unwrap(Effect.as(begin, algorithm.experience(position, end))).pipe(
      Stream.tap((microBatches) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          const units = microBatches.map(({ origins }) => origins.length)
          batches.push({ seconds: (now - begun) / 1000, units })
        })
      )
    )
  return { batches, experience, rows, sink }
}
