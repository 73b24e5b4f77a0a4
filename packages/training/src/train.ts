import { tf, type NamedTensorMap } from "@plumbline/runtime"
import { Clock, Effect, Stream } from "effect"
import { accumulate, evaluate, type StepResult } from "./accumulate.ts"
import type { Algorithm, Trainable } from "./algorithm.ts"
import {
  checkpointFolder,
  checkpointSteps,
  pruneCheckpoints,
  restoreCheckpoint,
  saveCheckpoint,
  type LoopState
} from "./checkpoints.ts"
import { NonFiniteStep, OptionsInvalid } from "./errors.ts"
import type { MicroBatch } from "./objective.ts"
import { adamw, clipScale, type Optimizer } from "./optimizer.ts"
import type { LoopOptions } from "./options.ts"
import { decideProgress, type ProgressOptions } from "./progress-decision.ts"
import { RunJournal } from "./run-journal.ts"
import { learningRateAt } from "./schedule.ts"
import { MetricSink } from "./sinks/metric-sink.ts"
import { StopRequest } from "./stop-request.ts"

export interface TrainOptions<M extends Trainable, B extends MicroBatch, E, R> {
  readonly algorithm: Algorithm<M, B, E, R>
  readonly options: LoopOptions
  /** Micro-batches of the held-out data, which every evaluation goes over. */
  readonly heldOut?: ReadonlyArray<B>
  /** Folder of the run: checkpoints go below it, and are continued from when there are any. */
  readonly folder: string
  /** Files that go with every saved model, such as the tokenizer's. */
  readonly extraFiles: Readonly<Record<string, Uint8Array | string>>
}

export interface TrainResult<M> {
  readonly models: M
  readonly step: number
  /** "finished" at the last step, "stopped" by the time limit or a signal before it. */
  readonly status: "finished" | "stopped"
  readonly metrics: Readonly<Record<string, number>>
}

/**
 * Runs optimizer steps until `maxSteps`, the time limit or a stop request.
 *
 * The experience stream is pulled once per step and never ahead of it, so on-policy algorithms always sample
 * from the weights of the previous step. Do not buffer it. When the folder has a checkpoint, the run goes on
 * from the newest one and what was measured after it is dropped.
 */
export const train = Effect.fn("train")(function* <M extends Trainable, B extends MicroBatch, E, R>(
  input: TrainOptions<M, B, E, R>
) {
  const { algorithm, folder, options } = input
  const trainable = yield* algorithm.trainable
  const models = options.activationCheckpointing ? recomputing(trainable) : trainable
  const optimizer = yield* Effect.acquireRelease(
    Effect.sync(() => adamw(models, adamwOptions(options))),
    (optimizer) => Effect.sync(() => optimizer.dispose())
  )
  const heldOut = input.heldOut ?? []
  const plan = yield* planLoop(options, yield* algorithm.stepsPerEpoch, heldOut.length > 0)
  let state = yield* startingState(folder, models, optimizer)
  let metrics: Readonly<Record<string, number>> = {}
  const loop = { ...input, models, optimizer, heldOut, plan, startedAt: yield* Clock.currentTimeMillis, before: state }
  yield* (yield* MetricSink).truncate(state.step)
  if (state.step < plan.maxSteps) {
    yield* algorithm.experience(state.step).pipe(
      Stream.runForEachWhile(
        Effect.fnUntraced(function* (microBatches) {
          const outcome = yield* oneStep(loop, state, microBatches)
          state = outcome.state
          metrics = outcome.metrics
          return outcome.goOn
        })
      )
    )
  }
  const status = state.step === plan.maxSteps ? ("finished" as const) : ("stopped" as const)
  const result: TrainResult<M> = { models, step: state.step, status, metrics }
  return result
}, Effect.scoped)

const recomputing = <M extends Trainable>(models: M): M =>
  Object.fromEntries(Object.entries(models).map(([role, model]) => [role, model.recomputing()])) as unknown as M

interface Loop<M extends Trainable, B extends MicroBatch> {
  readonly algorithm: Pick<Algorithm<M, B, unknown, unknown>, "objective">
  readonly options: LoopOptions
  readonly folder: string
  readonly extraFiles: Readonly<Record<string, Uint8Array | string>>
  readonly models: M
  readonly optimizer: Optimizer
  readonly heldOut: ReadonlyArray<B>
  readonly plan: ProgressOptions
  readonly startedAt: number
  readonly before: LoopState
}

const oneStep = Effect.fnUntraced(function* <M extends Trainable, B extends MicroBatch>(
  loop: Loop<M, B>,
  state: LoopState,
  microBatches: ReadonlyArray<B>
) {
  // a turn of the event loop: signals and the progress line live there
  yield* Effect.promise(() => new Promise<void>((resume) => setImmediate(resume)))
  const step = state.step + 1
  const begun = yield* Clock.currentTimeMillis
  const learningRate = learningRateAt({ ...loop.options, maxSteps: loop.plan.maxSteps }, step)
  const result = accumulate(loop.algorithm.objective, loop.models, microBatches)
  yield* applyStep(loop, step, result, learningRate)
  const tokens = microBatches.reduce((total, batch) => total + batch.tokens, 0)
  const now = yield* Clock.currentTimeMillis
  const seconds = Math.max(now - begun, 1) / 1000
  const next = {
    ...state,
    step,
    numTokens: state.numTokens + tokens,
    seconds: loop.before.seconds + (now - loop.startedAt) / 1000
  }
  const timeUp = (now - loop.startedAt) / 1000 >= (loop.options.maxSeconds ?? Infinity)
  const stop = (yield* StopRequest)()
  const decision = decideProgress(loop.plan, step, timeUp)
  const metrics: Record<string, number> = {
    ...result.metrics,
    learning_rate: learningRate,
    num_tokens: next.numTokens,
    tokens_per_second: tokens / seconds,
    "timers/step": seconds
  }
  if (state.step === loop.before.step) yield* checkMonitor(loop, metrics)
  if (decision.evaluate) Object.assign(metrics, heldOutMetrics(loop))
  yield* (yield* MetricSink).write(step, metrics)
  const saved = decision.save || stop ? yield* checkpoint(loop, next, metrics) : next
  return { state: saved, metrics, goOn: !decision.end && !timeUp && !stop }
})

const applyStep = Effect.fnUntraced(function* <M extends Trainable, B extends MicroBatch>(
  loop: Loop<M, B>,
  step: number,
  { brokenOrigins, gradients, metrics }: StepResult,
  learningRate: number
) {
  const broken = Object.entries(metrics).find(([, value]) => !Number.isFinite(value))
  if (broken === undefined) {
    loop.optimizer.apply(gradients, learningRate, clipScale(metrics["grad_norm"]!, loop.options.maxGradNorm))
  }
  tf.dispose(gradients as NamedTensorMap)
  if (broken !== undefined) {
    return yield* new NonFiniteStep({ step, metric: broken[0], value: broken[1], rows: [...brokenOrigins] })
  }
})

const heldOutMetrics = <M extends Trainable, B extends MicroBatch>(loop: Loop<M, B>): Record<string, number> => {
  const { metrics } = evaluate(loop.algorithm.objective, loop.models, loop.heldOut)
  return Object.fromEntries(Object.entries(metrics).map(([name, value]) => [`eval_${name}`, value]))
}

const checkpoint = Effect.fnUntraced(function* <M extends Trainable, B extends MicroBatch>(
  loop: Loop<M, B>,
  state: LoopState,
  metrics: Readonly<Record<string, number>>
) {
  const { folder, models, optimizer, options } = loop
  const best = bestCheckpoint(loop, state, metrics)
  const next = { ...state, best }
  const saved = yield* saveCheckpoint(folder, { models, optimizer, state: next, extraFiles: loop.extraFiles })
  const journal = yield* RunJournal
  const value = metrics[options.monitor]
  yield* journal.checkpoint(state.step, saved, value === undefined ? undefined : { name: options.monitor, value })
  const removed = yield* pruneCheckpoints(folder, options.keepCheckpoints, best?.step)
  yield* Effect.forEach(removed, (step) => journal.checkpointRemoved(step), { discard: true })
  return next
})

/** A misspelt --monitor is found at the first step, not at the first checkpoint. */
const checkMonitor = Effect.fnUntraced(function* <M extends Trainable, B extends MicroBatch>(
  { heldOut, options }: Loop<M, B>,
  metrics: Readonly<Record<string, number>>
) {
  const heldOutName = options.monitor.startsWith("eval_")
  if (heldOutName && heldOut.length === 0) return
  if (heldOutName ? options.monitor.slice("eval_".length) in metrics : options.monitor in metrics) return
  const names = Object.keys(metrics).toSorted().join(", ")
  return yield* new OptionsInvalid({
    option: "--monitor",
    reason: `no metric is called "${options.monitor}"; this run has ${names}, and with --eval the same with eval_ in front`
  })
})

/** A checkpoint without its evaluation (after a signal) never becomes the best. */
const bestCheckpoint = <M extends Trainable, B extends MicroBatch>(
  { options }: Loop<M, B>,
  state: LoopState,
  metrics: Readonly<Record<string, number>>
): LoopState["best"] => {
  const value = metrics[options.monitor]
  const { best } = state
  if (value === undefined) return best
  const better = best === undefined || (options.monitorMode === "min" ? value < best.value : value > best.value)
  return better ? { step: state.step, value } : best
}

const startingState = Effect.fnUntraced(function* (folder: string, models: Trainable, optimizer: Optimizer) {
  const newest = checkpointSteps(folder).at(-1)
  if (newest === undefined)
    return { step: 0, numTokens: 0, seconds: 0, best: undefined } satisfies LoopState as LoopState
  return yield* restoreCheckpoint(checkpointFolder(folder, newest), models, optimizer)
})

/** When the loop evaluates, saves and ends; options that contradict each other are an error. */
export const planLoop = Effect.fnUntraced(function* (
  options: LoopOptions,
  stepsPerEpoch: number,
  canEvaluate: boolean
) {
  const maxSteps = options.maxSteps ?? Math.max(1, Math.floor(stepsPerEpoch * options.epochs))
  const evaluates = canEvaluate && options.evalEvery > 0
  const saveEvery = options.saveEvery ?? (evaluates ? options.evalEvery : 100)
  if (evaluates && saveEvery % options.evalEvery !== 0) {
    return yield* new OptionsInvalid({
      option: "--save-every",
      reason: `${saveEvery} is not a multiple of --eval-every ${options.evalEvery}; a checkpoint needs its evaluation`
    })
  }
  const plan: ProgressOptions = { maxSteps, evalEvery: options.evalEvery, saveEvery, canEvaluate }
  return plan
})

const adamwOptions = ({ adamBeta1, adamBeta2, adamEpsilon, weightDecay }: LoopOptions) => ({
  beta1: adamBeta1,
  beta2: adamBeta2,
  epsilon: adamEpsilon,
  weightDecay
})
