import { saveModel } from "@plumbline/models"
import { RunStore } from "@plumbline/store"
import { Clock, Effect, type Scope } from "effect"
import { join } from "node:path"
import type { Algorithm, Trainable } from "./algorithm.ts"
import { OutputUnwritable } from "./errors.ts"
import type { MicroBatch } from "./objective.ts"
import type { LoopOptions } from "./options.ts"
import { createRunFolder, openRunFolder, type RunDescription, type RunFolder } from "./run-folder.ts"
import { RunJournal } from "./run-journal.ts"
import { consoleSink } from "./sinks/console-sink.ts"
import { jsonlSink } from "./sinks/jsonl-sink.ts"
import { MetricSink } from "./sinks/metric-sink.ts"
import { sqliteSink } from "./sinks/sqlite-sink.ts"
import { tensorboardSink } from "./sinks/tensorboard-sink.ts"
import { planLoop, train, type TrainResult } from "./train.ts"

export interface TrainingRun<M extends Trainable, B extends MicroBatch, E, R> {
  readonly algorithm: Algorithm<M, B, E, R>
  readonly options: LoopOptions
  /** The run's folder: run.json, metrics.jsonl, checkpoints/, tensorboard/, and final/ at the end. */
  readonly output: string
  /** Goes on with the run in `output` instead of starting one there. */
  readonly resume: boolean
  readonly description: Omit<RunDescription, "startedAt" | "algorithm">
  /** Files that go with every saved model, such as the tokenizer's. */
  readonly extraFiles: Readonly<Record<string, Uint8Array | string>>
  /** Metrics that the progress line shows beside the loss. */
  readonly highlights?: ReadonlyArray<string>
}

/**
 * A whole run: its folder and lock, its rows in the store, the loop, and the trained models as Hugging Face
 * folders (`final/`, or `final/ROLE` where several are trained).
 *
 * Everything that can be wrong with models, data and options fails before the folder is made.
 */
export const runTraining = Effect.fn("runTraining")(function* <M extends Trainable, B extends MicroBatch, E, R>(
  run: TrainingRun<M, B, E, R>
) {
  const { algorithm, options } = run
  yield* algorithm.trainable
  const heldOut = algorithm.heldOut === undefined ? [] : yield* algorithm.heldOut
  const plan = yield* planLoop(options, yield* algorithm.stepsPerEpoch, heldOut.length > 0)
  const { description, folder } = yield* openRun(run)
  const store = yield* RunStore
  yield* store.register({ id: folder, folder, config: description.invocation, ...named(description) })
  const sinks = yield* openSinks(folder, run, plan.maxSteps)
  return yield* train({ ...run, heldOut, folder }).pipe(
    Effect.tap((result) => saveFinal(folder, run, result)),
    Effect.tap((result) => store.finish(folder, result.status)),
    Effect.tapError((error) => store.finish(folder, "failed", failure(error))),
    Effect.provideService(MetricSink, sinks),
    Effect.provide(RunJournal.layerStore(folder))
  )
}, Effect.scoped)

const openRun = Effect.fnUntraced(function* <M extends Trainable, B extends MicroBatch, E, R>(
  run: TrainingRun<M, B, E, R>
): Effect.fn.Return<RunFolder, Effect.Error<ReturnType<typeof openRunFolder | typeof createRunFolder>>, Scope.Scope> {
  if (run.resume) return yield* openRunFolder(run.output)
  const startedAt = new Date(yield* Clock.currentTimeMillis).toISOString()
  return yield* createRunFolder(run.output, { ...run.description, algorithm: run.algorithm.name, startedAt })
})

const named = ({ algorithm, name, startedAt }: RunDescription) => ({ algorithm, name, startedAt })

const openSinks = Effect.fnUntraced(function* (
  folder: string,
  run: { readonly description: { readonly name: string }; readonly highlights?: ReadonlyArray<string> },
  total: number
) {
  return MetricSink.all([
    yield* jsonlSink(join(folder, "metrics.jsonl")),
    yield* sqliteSink(folder),
    yield* tensorboardSink(join(folder, "tensorboard")),
    yield* consoleSink({ label: run.description.name, total, highlights: run.highlights ?? [] })
  ])
})

const saveFinal = Effect.fnUntraced(function* <M extends Trainable>(
  folder: string,
  { extraFiles }: { readonly extraFiles: Readonly<Record<string, Uint8Array | string>> },
  { models, status }: TrainResult<M>
) {
  if (status !== "finished") return
  const roles = Object.entries(models)
  for (const [role, model] of roles) {
    const target = roles.length === 1 ? join(folder, "final") : join(folder, "final", role)
    yield* saveModel(model, target, { extraFiles }).pipe(
      Effect.mapError((cause) => new OutputUnwritable({ path: target, reason: cause.message }))
    )
  }
})

const failure = (error: unknown) => {
  const { _tag, message } = error as { readonly _tag?: string; readonly message?: string }
  return { tag: _tag ?? "UnknownError", message: message ?? String(error) }
}
