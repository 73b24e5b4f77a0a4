import { assistSaving, saveModel } from "@plumbline/models"
import { RunStore } from "@plumbline/store"
import { computing, ModelRuntime, Processes } from "@plumbline/runtime"
import { Clock, Effect } from "effect"
import { basename, join } from "node:path"
import { agreeWithSampler } from "./agree-with-sampler.ts"
import type { Algorithm, Trainable } from "./algorithm.ts"
import { InputChanged, OutputUnwritable, StopRequested } from "./errors.ts"
import { Examination } from "./examination/examination.ts"
import { examine } from "./examination/examine.ts"
import { fileDigests } from "./file-digests.ts"
import type { MicroBatch } from "./objective.ts"
import type { LoopOptions } from "./options.ts"
import { RunContext } from "./run-context.ts"
import { planLoop } from "./plan-loop.ts"
import { createRunFolder, isRunFolder, openRunFolder, type RunDescription, type RunFolder } from "./run-folder.ts"
import { RunJournal } from "./run-journal.ts"
import { consoleSink } from "./sinks/console-sink.ts"
import { firstStepSink } from "./sinks/first-step-sink.ts"
import { jsonlSink } from "./sinks/jsonl-sink.ts"
import { MetricSink } from "./sinks/metric-sink.ts"
import { Progress } from "./sinks/progress.ts"
import { recallMetrics } from "./sinks/recall-metrics.ts"
import { sqliteSink } from "./sinks/sqlite-sink.ts"
import { tensorboardSink } from "./sinks/tensorboard-sink.ts"
import { StopRequest } from "./stop-request.ts"
import { checkSharding } from "./processes/check-sharding.ts"
import { fromFirst } from "./processes/shared.ts"
import { train, type TrainResult } from "./train.ts"

export interface TrainingRun<M extends Trainable, B extends MicroBatch, E, R> {
  readonly algorithm: Algorithm<M, B, E, R>
  readonly options: LoopOptions
  /** Files the run depends on (data, weights): their digests are recorded, and must be the same on resume. */
  readonly inputs?: ReadonlyArray<string>
  /** Files that go with every saved model, such as the tokenizer's. */
  readonly extraFiles?: Readonly<Record<string, Uint8Array | string>>
  /** Metrics that the progress line shows beside the loss. */
  readonly highlights?: ReadonlyArray<string>
}

/**
 * A whole run in the folder of the `RunContext`: its lock, its rows in the store, the loop, and the trained
 * models as Hugging Face folders (`final/`, or `final/ROLE` where several are trained).
 *
 * Everything that can be wrong with models, data and options fails before the folder is made.
 */
export const runTraining = Effect.fn("runTraining")(
  function* <M extends Trainable, B extends MicroBatch, E, R>(run: TrainingRun<M, B, E, R>) {
    const { algorithm, extraFiles = {}, options } = run
    const models = yield* algorithm.trainable
    yield* checkSharding(models, algorithm.carried !== undefined, yield* Processes)
    if (algorithm.check !== undefined) yield* algorithm.check
    if (algorithm.sampledFrom !== undefined) {
      yield* agreeWithSampler(algorithm.sampledFrom(models), (yield* Progress).note)
    }
    // a reference pass over held-out data costs time: none is made for a run that never evaluates
    const heldOut = algorithm.heldOut === undefined || options.evalEvery === 0 ? [] : yield* algorithm.heldOut
    const evaluation =
      algorithm.evaluation === undefined || options.evalEvery === 0 ? undefined : yield* algorithm.evaluation
    const evaluates = heldOut.length > 0 || evaluation !== undefined
    const plan = yield* planLoop(options, yield* algorithm.stepsPerEpoch, evaluates)
    const examiner = yield* Examination
    if (examiner !== undefined) return yield* examine(run, plan, examiner)
    const { exchange, rank } = yield* Processes
    // the stage of a recipe after one that was stopped; who asks one process to stop asks all
    if (exchange((yield* StopRequest)()).includes(true)) {
      return yield* new StopRequested({ folder: (yield* RunContext).output })
    }
    const { description, folder } = yield* fromFirst(openRun(algorithm.name, run.inputs ?? []))
    const store = yield* RunStore
    yield* store.register({ id: folder, folder, config: description.invocation, ...named(description) })
    const sinks = rank === 0 ? yield* openSinks(folder, description.name, plan.maxSteps, run) : MetricSink.all([])
    return yield* train({ algorithm, options, extraFiles, heldOut, evaluation, folder }).pipe(
      // the next stage of a recipe may read the models
      Effect.tap((result) => (rank === 0 ? Effect.void : assistFinal(result))),
      Effect.tap((result) => fromFirst(saveFinal(folder, extraFiles, result))),
      computing,
      Effect.tap((result) => store.finish(folder, result.status)),
      Effect.tapError((error) => store.finish(folder, "failed", failure(error))),
      Effect.tapDefect((defect) => store.finish(folder, "failed", failure(defect))),
      Effect.provideService(MetricSink, sinks),
      Effect.provide(RunJournal.layerStore(folder))
    )
  },
  Effect.scoped,
  computing
)

const openRun = Effect.fnUntraced(function* (algorithm: string, inputs: ReadonlyArray<string>) {
  const { invocation, output, resume } = yield* RunContext
  const { backend } = yield* ModelRuntime
  const digests = yield* fileDigests(inputs)
  if (resume && isRunFolder(output)) {
    const opened = yield* openRunFolder(output, invocation)
    yield* sameInputs(opened, digests)
    return opened
  }
  const startedAt = new Date(yield* Clock.currentTimeMillis).toISOString()
  const versions = { node: process.version, backend }
  return yield* createRunFolder(output, { name: basename(output), algorithm, startedAt, invocation, versions, digests })
})

const sameInputs = ({ description, folder }: RunFolder, digests: RunDescription["digests"]) =>
  Effect.forEach(
    Object.entries(description.digests).filter(([path, digest]) => digests[path] !== digest),
    ([path]) => new InputChanged({ folder, path }),
    { discard: true }
  )

const named = ({ algorithm, name, startedAt }: RunDescription) => ({ algorithm, name, startedAt })

const openSinks = Effect.fnUntraced(function* <M extends Trainable, B extends MicroBatch, E, R>(
  folder: string,
  label: string,
  total: number,
  { algorithm, highlights = [] }: TrainingRun<M, B, E, R>
) {
  const lines = join(folder, "metrics.jsonl")
  const jsonl = yield* jsonlSink(lines)
  yield* recallMetrics(folder, lines)
  return MetricSink.all([
    jsonl,
    yield* sqliteSink(folder),
    yield* tensorboardSink(join(folder, "tensorboard")),
    yield* consoleSink({ label, total, highlights }),
    yield* firstStepSink(algorithm.atFirst ?? {})
  ])
})

const saveFinal = Effect.fnUntraced(function* <M extends Trainable>(
  folder: string,
  extraFiles: Readonly<Record<string, Uint8Array | string>>,
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

/** What the others do meanwhile. */
const assistFinal = <M extends Trainable>({ models, status }: TrainResult<M>) =>
  Effect.promise(async () => {
    if (status === "finished") for (const model of Object.values(models)) await assistSaving(model)
  })

const failure = (error: unknown) => {
  const { _tag, message } = error as { readonly _tag?: string; readonly message?: string }
  return { tag: _tag ?? "UnknownError", message: message ?? String(error) }
}
