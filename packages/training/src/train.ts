import { computing, OutOfMemory, Processes, type ProcessesShape } from "@plumbline/runtime"
import { Clock, Effect, Stream } from "effect"
import { beginStep, evaluate } from "./accumulate.ts"
import { applyStep } from "./apply-step.ts"
import { type Balance, balanceOf, balanceWeight } from "./balance.ts"
import type { Algorithm, Attachment, Evaluation, Trainable } from "./algorithm.ts"
import {
  checkpointFolder,
  checkpointSteps,
  pruneCheckpoints,
  restoreCheckpoint,
  saveCheckpoint,
  type LoopState
} from "./checkpoints.ts"
import { CheckpointUnusable, ExperienceEnded, NonFiniteStep, OptionsInvalid, StepOutOfMemory } from "./errors.ts"
import { checkFinite, firstNotFinite } from "./finite-weights.ts"
import { objectiveStep } from "./objective-check.ts"
import type { Memory, MicroBatch } from "./objective.ts"
import { adamw, type Optimizer } from "./optimizer.ts"
import type { LoopOptions } from "./options.ts"
import { planLoop } from "./plan-loop.ts"
import { checkSharding } from "./processes/check-sharding.ts"
import { fromFirst } from "./processes/shared.ts"
import { sameExperience } from "./processes/same-experience.ts"
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
  /** What else every evaluation looks at. */
  readonly evaluation?: Evaluation<E, R> | undefined
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
  const processes = yield* Processes
  const trainable = yield* algorithm.trainable
  const models = options.activationCheckpointing ? recomputing(trainable) : trainable
  yield* checkSharding(trainable, algorithm.carried !== undefined, processes)
  const carried = algorithm.carried === undefined ? {} : yield* algorithm.carried
  const optimizer = yield* Effect.acquireRelease(
    Effect.sync(() => adamw(models, adamwOptions(options), processes)),
    (optimizer) => Effect.sync(() => optimizer.dispose())
  )
  const heldOut = input.heldOut ?? []
  const plan = yield* planLoop(
    options,
    yield* algorithm.stepsPerEpoch,
    heldOut.length > 0 || input.evaluation !== undefined
  )
  const saved = { ...models, ...carried }
  let state = yield* startingState(folder, saved, optimizer, algorithm.attachment)
  // what moves beside them is moved by their exact values
  if (algorithm.carried === undefined) optimizer.weights.divide()
  let metrics: Readonly<Record<string, number>> = {}
  let underWay: ReadonlyArray<B> = []
  let ended = false
  if (state.step > plan.maxSteps) {
    const reason = `the run in ${folder} has made ${state.step} steps already, more than ${plan.maxSteps}`
    return yield* new OptionsInvalid({ option: "--max-steps", reason })
  }
  const loop = {
    ...input,
    processes,
    models,
    balance: balanceOf(models, balanceWeight(options)),
    saved,
    optimizer,
    heldOut,
    plan,
    startedAt: yield* Clock.currentTimeMillis,
    before: state
  }
  yield* (yield* MetricSink).truncate(state.step)
  if (state.step < plan.maxSteps) {
    yield* algorithm.experience(state.step, plan.maxSteps).pipe(
      Stream.runForEachWhile(
        Effect.fnUntraced(function* (microBatches) {
          underWay = microBatches
          const outcome = yield* oneStep(loop, state, microBatches)
          underWay = []
          state = outcome.state
          metrics = outcome.metrics
          ended = !outcome.goOn
          return outcome.goOn
        })
      ),
      computing,
      Effect.mapError((error) =>
        error instanceof OutOfMemory ? outOfMemory(error, loop, state.step + 1, underWay) : error
      )
    )
    if (!ended) {
      const { maxSteps } = plan
      return yield* new ExperienceEnded({ algorithm: algorithm.name, step: state.step, maxSteps })
    }
  }
  yield* checkFinite(loop.models, loop.processes, state.step)
  optimizer.finish()
  const status = state.step === plan.maxSteps ? ("finished" as const) : ("stopped" as const)
  const result: TrainResult<M> = { models, step: state.step, status, metrics }
  return result
}, Effect.scoped)

const outOfMemory = (
  { bytesAsked, bytesFree, message, operator }: OutOfMemory,
  { folder, options }: { readonly folder: string; readonly options: LoopOptions },
  step: number,
  microBatches: ReadonlyArray<MicroBatch>
) => {
  const rows = microBatches.length === 0 ? null : Math.max(...microBatches.map(({ origins }) => origins.length))
  const { activationCheckpointing } = options
  const where = { step, folder, rows, activationCheckpointing }
  return new StepOutOfMemory({ ...where, operator, bytesAsked, bytesFree, reason: message })
}

const recomputing = <M extends Trainable>(models: M): M =>
  Object.fromEntries(Object.entries(models).map(([role, model]) => [role, model.recomputing()])) as unknown as M

interface Loop<M extends Trainable, B extends MicroBatch, E, R> {
  readonly algorithm: Pick<Algorithm<M, B, E, R>, "objective" | "heldOut" | "carried" | "afterStep" | "attachment">
  readonly options: LoopOptions
  readonly folder: string
  readonly extraFiles: Readonly<Record<string, Uint8Array | string>>
  readonly processes: ProcessesShape
  readonly models: M
  readonly balance: Balance<M> | undefined
  /** The trained and the carried ones. */
  readonly saved: Trainable
  readonly optimizer: Optimizer
  readonly heldOut: ReadonlyArray<B>
  readonly evaluation?: Evaluation<E, R> | undefined
  readonly plan: ProgressOptions
  readonly startedAt: number
  readonly before: LoopState
}

const oneStep = Effect.fnUntraced(function* <M extends Trainable, B extends MicroBatch, E, R>(
  loop: Loop<M, B, E, R>,
  state: LoopState,
  microBatches: ReadonlyArray<B>
) {
  // a turn of the event loop: signals and the progress line live there
  yield* Effect.promise(() => new Promise<void>((resume) => setImmediate(resume)))
  const step = state.step + 1
  const begun = yield* Clock.currentTimeMillis
  const learningRate = learningRateAt({ ...loop.options, maxSteps: loop.plan.maxSteps }, step)
  const { afterStep, objective } = loop.algorithm
  const { balance, processes } = loop
  yield* sameExperience(step, microBatches)
  const result = yield* objectiveStep(() => {
    const begun = beginStep(objective, loop.models, microBatches, { memory: state.memory, balance, processes })
    return applyStep(loop.optimizer, begun, learningRate, loop.options.maxGradNorm)
  })
  if (result.broken !== undefined) {
    const [metric, value] = result.broken
    const weight = firstNotFinite(loop.models, processes)
    return yield* new NonFiniteStep({ step, metric, value, rows: [...result.brokenOrigins], weight })
  }
  const told = afterStep === undefined ? undefined : yield* afterStep(step, loop.models, result)
  const tokens = microBatches.reduce((total, batch) => total + batch.tokens, 0)
  const now = yield* Clock.currentTimeMillis
  const seconds = Math.max(now - begun, 1) / 1000
  const next = {
    ...state,
    step,
    memory: result.memory,
    numTokens: state.numTokens + tokens,
    seconds: loop.before.seconds + (now - loop.startedAt) / 1000
  }
  const isLate = (now - loop.startedAt) / 1000 >= (loop.options.maxSeconds ?? Infinity)
  const { stop, timeUp } = agreed(loop.processes, { stop: (yield* StopRequest)(), timeUp: isLate })
  const decision = decideProgress(loop.plan, step, timeUp)
  const metrics: Record<string, number> = {
    ...result.metrics,
    ...told,
    learning_rate: learningRate,
    num_tokens: next.numTokens,
    tokens_per_second: tokens / seconds,
    "timers/step": seconds
  }
  if (state.step === loop.before.step && "loss" in metrics) yield* checkMonitor(loop, metrics)
  if (decision.evaluate) Object.assign(metrics, yield* heldOutMetrics(loop, next.memory))
  yield* (yield* MetricSink).write(step, metrics)
  const saved = decision.save || stop ? yield* checkpoint(loop, next, metrics) : next
  return { state: saved, metrics, goOn: !decision.end && !timeUp && !stop }
})

/** What one process is asked, all do. */
const agreed = ({ exchange }: ProcessesShape, own: { readonly stop: boolean; readonly timeUp: boolean }) => {
  const all = exchange(own)
  return { stop: all.some(({ stop }) => stop), timeUp: all.some(({ timeUp }) => timeUp) }
}

const heldOutMetrics = Effect.fnUntraced(function* <M extends Trainable, B extends MicroBatch, E, R>(
  { algorithm, evaluation, heldOut, models, processes }: Loop<M, B, E, R>,
  memory: Memory
) {
  const { carried, heldOut: remade, objective } = algorithm
  const batches = carried === undefined || remade === undefined ? heldOut : yield* remade
  const lossMetrics = batches.length === 0 ? {} : evaluate(objective, models, batches, { memory, processes }).metrics
  const metrics = { ...lossMetrics, ...(evaluation === undefined ? {} : yield* evaluation) }
  return Object.fromEntries(Object.entries(metrics).map(([name, value]) => [`eval_${name}`, value]))
})

const checkpoint = Effect.fnUntraced(function* <M extends Trainable, B extends MicroBatch, E, R>(
  loop: Loop<M, B, E, R>,
  state: LoopState,
  metrics: Readonly<Record<string, number>>
) {
  yield* checkFinite(loop.models, loop.processes, state.step)
  const best = bestCheckpoint(loop, state, metrics)
  const next = { ...state, best }
  if (loop.processes.rank > 0) yield* assist(loop)
  yield* fromFirst(writeCheckpoint(loop, next, metrics))
  return next
})

/** What is in parts is put together by all, in the order of `writeCheckpoint`. */
const assist = Effect.fnUntraced(function* <M extends Trainable, B extends MicroBatch, E, R>({
  algorithm,
  optimizer,
  saved
}: Loop<M, B, E, R>) {
  yield* Effect.promise(() => optimizer.readParts(Object.values(saved)))
  if (algorithm.attachment?.assist !== undefined) yield* algorithm.attachment.assist
})

const writeCheckpoint = Effect.fnUntraced(function* <M extends Trainable, B extends MicroBatch, E, R>(
  { algorithm, extraFiles, folder, optimizer, options, saved: models }: Loop<M, B, E, R>,
  state: LoopState,
  metrics: Readonly<Record<string, number>>
) {
  const contents = { models, optimizer, state, extraFiles }
  const saved = yield* saveCheckpoint(folder, contents, algorithm.attachment?.save)
  const journal = yield* RunJournal
  const value = metrics[options.monitor]
  yield* journal.checkpoint(state.step, saved, value === undefined ? undefined : { name: options.monitor, value })
  const removed = yield* pruneCheckpoints(folder, options.keepCheckpoints, state.best?.step)
  yield* Effect.forEach(removed, (step) => journal.checkpointRemoved(step), { discard: true })
})

/** A misspelt --monitor is found at the first step, not at the first checkpoint. */
const checkMonitor = Effect.fnUntraced(function* <M extends Trainable, B extends MicroBatch, E, R>(
  { evaluation, heldOut, options }: Loop<M, B, E, R>,
  metrics: Readonly<Record<string, number>>
) {
  const heldOutName = options.monitor.startsWith("eval_")
  if (heldOutName && heldOut.length === 0 && evaluation === undefined) return
  if (heldOutName ? options.monitor.slice("eval_".length) in metrics : options.monitor in metrics) return
  const names = Object.keys(metrics).toSorted().join(", ")
  return yield* new OptionsInvalid({
    option: "--monitor",
    reason: `no metric is called "${options.monitor}"; this run has ${names}, and with --eval the same with eval_ in front`
  })
})

/** A checkpoint without its evaluation (after a signal) never becomes the best. */
const bestCheckpoint = <M extends Trainable, B extends MicroBatch, E, R>(
  { options }: Loop<M, B, E, R>,
  state: LoopState,
  metrics: Readonly<Record<string, number>>
): LoopState["best"] => {
  const value = metrics[options.monitor]
  const { best } = state
  if (value === undefined) return best
  const better = best === undefined || (options.monitorMode === "min" ? value < best.value : value > best.value)
  return better ? { step: state.step, value } : best
}

const startingState = Effect.fnUntraced(function* <E, R>(
  folder: string,
  models: Trainable,
  optimizer: Optimizer,
  attachment: Attachment<E, R> | undefined
) {
  const [before, newest] = [undefined, undefined, ...checkpointSteps(folder)].slice(-2)
  const fresh: LoopState = { step: 0, numTokens: 0, seconds: 0, best: undefined, memory: {} }
  if (newest === undefined) return fresh
  const restored = yield* restoreCheckpoint(checkpointFolder(folder, newest), models, optimizer).pipe(
    Effect.mapError((error) =>
      error instanceof CheckpointUnusable
        ? new CheckpointUnusable({ folder: error.folder, reason: error.reason, before })
        : error
    )
  )
  if (attachment !== undefined) yield* attachment.restore(checkpointFolder(folder, newest))
  return restored
})

const adamwOptions = ({ adamBeta1, adamBeta2, adamEpsilon, weightDecay }: LoopOptions) => ({
  beta1: adamBeta1,
  beta2: adamBeta2,
  epsilon: adamEpsilon,
  weightDecay
})
