import { Effect, Layer, Semaphore, Stream } from "effect"
import { HttpClient } from "effect/http"
import {
  type FinishedResponse,
  type GenerationError,
  GenerationRefused,
  GenerationTimedOut,
  GeneratorFailed
} from "../errors.ts"
import type { GeneratorShape } from "../generator-shape.ts"
import { Generator } from "../generator.ts"
import type { GeneratedGroup, GenerationEvent, GenerationRequest } from "../request.ts"
import { unfitRequest } from "../request-limits.ts"
import { completionBody } from "./completion-body.ts"
import { emptyGroup } from "./empty-group.ts"
import { type LifeWatch, lifeWatch, originOf } from "./life-watch.ts"
import { type LoadCounter, loadCounter } from "./load-counter.ts"
import type { KnownServer, RemoteOptions } from "./options.ts"
import { decodeCompletion, readGroup } from "./read-answer.ts"
import { reading } from "./reading.ts"
import { jsonOf, persistently, type Send, sender } from "./send.ts"
import { describeModel, serverVersion } from "./server-model.ts"
import { streamEvents } from "./stream-events.ts"
import type { Unanswered } from "./unanswered.ts"

/**
 * The service over any server that speaks OpenAI's API and returns token ids: vLLM, SGLang, TensorRT-LLM, `plumb serve`.
 *
 * Prompts go as token ids and responses come as token ids: nothing is tokenized again. What is missing from an answer,
 * or contradicts the request, is a failure that names the row, never an empty response.
 */
export const remoteGenerator = (
  options: RemoteOptions
): Effect.Effect<GeneratorShape, GeneratorFailed, HttpClient.HttpClient> => preparedGenerator(options, Effect.void)

/** The same where something has to be done before each request, within its deadline. */
export const preparedGenerator = (
  options: RemoteOptions,
  prepared: Effect.Effect<void, GeneratorFailed>
): Effect.Effect<GeneratorShape, GeneratorFailed, HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const client = yield* HttpClient.HttpClient
    const { maxConcurrency = 64 } = options
    if (!(maxConcurrency >= 1)) {
      const reason = `maxConcurrency is ${maxConcurrency}: nothing would ever be sent to ${options.baseUrl}`
      return yield* new GeneratorFailed({ reason, finished: [] })
    }
    const life = generatorLife(client, options)
    const send = sender(client, options, life)
    const { id, limits, logProbs } = yield* describeModel(send, options)
    const permits = Semaphore.makeUnsafe(maxConcurrency)
    const known = { ...options, ...limits, logProbs }
    const context: Context = { options: known, prepared, send, life, model: id, permits, counter: loadCounter() }
    return {
      colocated: false,
      limits,
      load: Effect.sync(context.counter.load),
      policyVersion: serverVersion(send, options),
      generate: (requests) => generateAll(context, requests),
      stream: (request) => streamOne(context, request)
    }
  })

/** Who waits for responses: servers of OpenAI's API answer `/health` beside their engine. */
export const generatorLife = (client: HttpClient.HttpClient, { baseUrl, silence }: RemoteOptions): LifeWatch =>
  lifeWatch(client, { url: originOf(baseUrl), trustsHealth: true, silence })

/** A layer of it; `patientHttp` is a client for it. */
export const remoteGeneratorLayer = (
  options: RemoteOptions
): Layer.Layer<Generator, GeneratorFailed, HttpClient.HttpClient> => Layer.effect(Generator, remoteGenerator(options))

interface Context {
  readonly options: KnownServer
  readonly prepared: Effect.Effect<void, GeneratorFailed>
  readonly send: Send
  readonly life: LifeWatch
  readonly model: string
  readonly permits: Semaphore.Semaphore
  readonly counter: LoadCounter
}

const generateAll = (context: Context, requests: ReadonlyArray<GenerationRequest>) =>
  Effect.suspend(() => {
    const unfit = firstUnfit(context, requests)
    if (unfit !== undefined) return Effect.fail(unfit)
    const finished: Array<FinishedResponse> = []
    const keep = (row: number, { responses }: GeneratedGroup) =>
      void finished.push(...responses.map((response) => ({ request: row, response })))
    return Effect.forEach(
      requests,
      (request, row) =>
        postOne(context, request).pipe(
          Effect.tap((group) => Effect.sync(() => keep(row, group))),
          Effect.mapError((failure) => rowError(context.options, failure, row, finished)),
          (posted) => Effect.andThen(context.prepared, posted),
          withinDeadline(context.options, request, finished)
        ),
      { concurrency: "unbounded" }
    )
  })

const firstUnfit = ({ options }: Context, requests: ReadonlyArray<GenerationRequest>) => {
  for (const request of requests) {
    const unfit = unfitRequest(request, options)
    if (unfit !== undefined) return unfit
  }
  return undefined
}

/** A turn among the requests on their way, until the scope closes. */
const turn = ({ counter, permits }: Context, request: GenerationRequest) =>
  Effect.andThen(counter.waiting(request)(Semaphore.takeScoped(permits, 1)), counter.running(request))

const postOne = (context: Context, request: GenerationRequest): Effect.Effect<GeneratedGroup, Unanswered> => {
  const empty = emptyGroup(request, context.options)
  if (empty !== undefined) return Effect.succeed(empty)
  const { counter, life, model, options, send } = context
  const once = Effect.scoped(
    Effect.gen(function* () {
      const response = yield* send("/completions", completionBody(request, model, options))
      const body = yield* jsonOf(response)
      return yield* reading(() => readGroup(decodeCompletion(body), request, options))
    })
  )
  return Effect.scoped(Effect.andThen(turn(context, request), life.over(persistently(once, options)))).pipe(
    Effect.tap((group) => Effect.sync(() => counter.noteGroup(group)))
  )
}

const streamOne = (context: Context, request: GenerationRequest): Stream.Stream<GenerationEvent, GenerationError> => {
  const { counter, life, model, options, send } = context
  const unfit = unfitRequest(request, options)
  if (unfit !== undefined) return Stream.fail(unfit)
  const empty = emptyGroup(request, options)
  if (empty !== undefined) {
    return Stream.fromIterable(empty.responses.map((response): GenerationEvent => ({ _tag: "Finished", response })))
  }
  const body = { ...completionBody(request, model, options), stream: true }
  const events = Stream.unwrap(
    Effect.gen(function* () {
      yield* turn(context, request)
      const response = yield* persistently(send("/completions", body), options)
      return streamEvents(response, request, options)
    })
  ).pipe(
    Stream.merge(Stream.fromEffect(life.over(Effect.never)), { haltStrategy: "left" }),
    Stream.tap((event) => Effect.sync(() => counter.noteEvent(request, event))),
    Stream.mapError((failure): GenerationError => rowError(options, failure, 0, []))
  )
  const all = Stream.unwrap(Effect.as(context.prepared, events))
  const { deadlineSeconds } = request
  return deadlineSeconds === undefined ? all : streamWithin(all, deadlineSeconds, options.baseUrl)
}

/** Ends a stream with a failure when its time, counted from its beginning, is up. */
const streamWithin = (events: Stream.Stream<GenerationEvent, GenerationError>, seconds: number, url: string) => {
  const late = Effect.fail(new GenerationTimedOut({ seconds, finished: [], url }))
  return Stream.merge(events, Stream.fromEffect(Effect.delay(late, seconds * 1000)), { haltStrategy: "left" })
}

const rowError = (
  { baseUrl }: Pick<RemoteOptions, "baseUrl">,
  { field, reason }: Unanswered,
  row: number,
  finished: ReadonlyArray<FinishedResponse>
): GenerationRefused | GeneratorFailed =>
  field === undefined
    ? new GeneratorFailed({ reason: `row ${row}: ${baseUrl} failed: ${reason}`, finished: [...finished] })
    : new GenerationRefused({
        field,
        reason: `of row ${row} was refused by ${baseUrl}: ${reason}`,
        finished: [...finished]
      })

const withinDeadline =
  (
    { baseUrl: url }: Pick<RemoteOptions, "baseUrl">,
    { deadlineSeconds: seconds }: GenerationRequest,
    finished: ReadonlyArray<FinishedResponse>
  ) =>
  <A, E>(work: Effect.Effect<A, E>): Effect.Effect<A, E | GenerationTimedOut> =>
    seconds === undefined
      ? work
      : Effect.timeoutOrElse(work, {
          duration: seconds * 1000,
          orElse: () => Effect.fail(new GenerationTimedOut({ seconds, finished: [...finished], url }))
        })
