import type { SteppedModel } from "@plumbline/models"
import { Cause, Effect, Exit, Fiber, Latch, Queue, type Scope, Semaphore, Stream } from "effect"
import { type FinishedResponse, type GenerationError, GenerationTimedOut, GeneratorFailed } from "../errors.ts"
import type { GeneratorShape } from "../generator-shape.ts"
import type { GeneratedGroup, GenerationEvent, GenerationRequest } from "../request.ts"
import { refusal, type RequestLimits } from "./check-request.ts"
import { type Engine, type EngineModels, type EngineOptions, makeEngine } from "./engine.ts"
import { makePlaces } from "./places.ts"

type OnEvent = (event: GenerationEvent) => void

/** Work on one request: fails with the reason, where there is one, and frees what it holds when it is interrupted. */
type Work = (request: GenerationRequest, onEvent: OnEvent) => Effect.Effect<GeneratedGroup, string>

/** The service over an engine of this process. */
export interface EngineGenerator extends GeneratorShape {
  /**
   * Runs work that sets weights while no step is made. Nothing that was computed with others is used after it. Where it
   * breaks, what the weights are is not known, and the engine is dead.
   */
  readonly betweenSteps: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** The service over an engine of this process, whose steps run on a fiber of the scope. */
export const engineGenerator = (
  model: SteppedModel,
  options: EngineOptions
): Effect.Effect<GeneratorShape, never, Scope.Scope> =>
  Effect.map(engineGenerators([model], options), ([generator]) => generator!)

/**
 * Generators over one engine, one for each of several adapters on one base and for the base itself where it is among
 * them. They share the base's weights, the cache, the queue and the engine's load; a step holds rows of all of them.
 *
 * @returns in the order of `models`, whose configuration must be one object
 */
export const engineGenerators = (
  models: EngineModels,
  options: EngineOptions = {}
): Effect.Effect<ReadonlyArray<EngineGenerator>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const engine = yield* Effect.acquireRelease(
      Effect.sync(() => makeEngine(models, options)),
      (made) => Effect.sync(made.dispose)
    )
    const { betweenSteps, died, queued, workOn } = yield* startEngine(engine, options.queueRequests ?? 1024)
    return models.map((model): EngineGenerator => {
      const work = workOn(model)
      const limits = engine.limitsOf(model)
      return {
        colocated: true,
        betweenSteps,
        limits: { contextTokens: limits.contextTokens, vocabulary: limits.vocabulary },
        policyVersion: Effect.suspend(() => {
          const reason = died()
          if (reason === undefined) return Effect.succeed(model.version.current())
          return Effect.fail(new GeneratorFailed({ reason, finished: [] }))
        }),
        load: Effect.sync(() => {
          const load = engine.load()
          return { ...load, waiting: load.waiting + queued() }
        }),
        generate: (requests) => generateAll(limits, work, requests),
        stream: (request) => streamOne(limits, work, request)
      }
    })
  })

const startEngine = Effect.fnUntraced(function* (engine: Engine, queueRequests: number) {
  const places = makePlaces(queueRequests)
  const wake = yield* Latch.make()
  const stepping = yield* Semaphore.make(1)
  let deathReason: string | undefined
  let queued = 0
  const die = (exit: Exit.Exit<unknown, unknown>) =>
    Effect.sync(() => {
      if (Exit.isSuccess(exit)) return
      deathReason ??= reasonOf(exit.cause)
      engine.failAll(deathReason)
    })
  const steps = yield* stepForever(engine, wake, stepping).pipe(
    Effect.onExit(die),
    Effect.forkScoped({ startImmediately: true })
  )
  const betweenSteps: EngineGenerator["betweenSteps"] = (work) =>
    Effect.sync(engine.forgetWeights).pipe(
      Effect.andThen(work),
      Effect.onExit((exit) =>
        Effect.tap(die(exit), () => (Exit.isFailure(exit) ? Fiber.interrupt(steps) : Effect.void))
      ),
      Effect.uninterruptible,
      stepping.withPermit
    )
  const enter = (model: SteppedModel, request: GenerationRequest, onEvent: OnEvent): ReturnType<Work> =>
    Effect.callback((resume) => {
      queued -= request.samples ?? 1
      if (deathReason !== undefined) return resume(Effect.fail(deathReason))
      const group = engine.add(request, model, {
        onEvent,
        onDone: (whole) => resume(Effect.succeed(whole)),
        onFailed: (reason) => resume(Effect.fail(reason))
      })
      wake.openUnsafe()
      return Effect.sync(() => engine.drop(group))
    })
  const workOn =
    (model: SteppedModel): Work =>
    (request, onEvent) =>
      Effect.suspend(() => {
        let entered = false
        queued += request.samples ?? 1
        const counted = Effect.suspend(() => ((entered = true), enter(model, request, onEvent)))
        const leave = Effect.sync(() => void (queued -= entered ? 0 : (request.samples ?? 1)))
        return places.hold(request.caller)(counted).pipe(Effect.ensuring(leave))
      })
  return { betweenSteps, workOn, died: () => deathReason, queued: () => queued }
})

/** A turn of the event loop between two steps: signals, sockets and other fibers live there. */
const turn = Effect.promise(() => new Promise<void>((resume) => setImmediate(resume)))

const stepForever = (engine: Engine, wake: Latch.Latch, stepping: Semaphore.Semaphore) =>
  Effect.gen(function* () {
    const step = Effect.sync(() => {
      const something = engine.step()
      // closed in the same breath: what is added from here on opens it
      if (!something) wake.closeUnsafe()
      return something
    })
    for (;;) {
      const worked = yield* stepping.withPermit(step)
      if (!worked) yield* wake.await
      // requests of the same moment begin together
      yield* turn
    }
  })

const reasonOf = (cause: Cause.Cause<unknown>): string => {
  if (Cause.hasInterruptsOnly(cause)) return "it was shut down"
  const error = Cause.squash(cause)
  return error instanceof Error ? error.message : String(error)
}

const generateAll = Effect.fnUntraced(function* (
  limits: RequestLimits,
  work: Work,
  requests: ReadonlyArray<GenerationRequest>
) {
  for (const request of requests) {
    const refused = refusal(request, limits)
    if (refused !== undefined) return yield* refused
  }
  const finished: Array<FinishedResponse> = []
  return yield* Effect.forEach(
    requests.map(ownCopy),
    (request, index) => attempt(request, finished, index, (onEvent) => work(request, onEvent)),
    { concurrency: "unbounded" }
  )
})

const streamOne = (limits: RequestLimits, work: Work, request: GenerationRequest) =>
  Stream.callback<GenerationEvent, GenerationError>((queue) => {
    const refused = refusal(request, limits)
    if (refused !== undefined) return Effect.fail(refused)
    const own = ownCopy(request)
    return attempt(own, [], 0, (onEvent) =>
      work(own, (event) => {
        Queue.offerUnsafe(queue, event)
        onEvent(event)
      })
    ).pipe(Effect.andThen(Queue.end(queue)))
  })

/** Whoever asks may fill the array with the next prompt while this one waits or is written. */
const ownCopy = (request: GenerationRequest): GenerationRequest => ({
  ...request,
  promptIds: request.promptIds.slice()
})

/** Runs one request within its deadline; failures carry what was finished by then. */
const attempt = (
  { deadlineSeconds }: GenerationRequest,
  finished: Array<FinishedResponse>,
  index: number,
  run: (onEvent: OnEvent) => Effect.Effect<GeneratedGroup, string>
): Effect.Effect<GeneratedGroup, GeneratorFailed | GenerationTimedOut> => {
  const done = run((event) => {
    if (event._tag === "Finished") finished.push({ request: index, response: event.response })
  }).pipe(Effect.mapError((reason) => new GeneratorFailed({ reason, finished: [...finished] })))
  if (deadlineSeconds === undefined) return done
  return Effect.timeoutOrElse(done, {
    duration: deadlineSeconds * 1000,
    orElse: () => Effect.fail(new GenerationTimedOut({ seconds: deadlineSeconds, finished: [...finished] }))
  })
}
