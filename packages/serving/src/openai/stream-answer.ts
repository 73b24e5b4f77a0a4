import type { GenerationEvent, GenerationRequest, PromptScores } from "@plumbline/rollout-generation"
import { Effect, Pull, type Scope, Stream } from "effect"
import { LazyList } from "../shell/json-texts.ts"
import { errorBody, type RequestRefused } from "../shell/request-refused.ts"
import { type AnswerContext, type AnswerHead, countTokens } from "./answer-context.ts"
import { choiceWriter } from "./choice-writer.ts"
import { refusalOf } from "./failure.ts"
import { type Job, samplesOf, usageOf } from "./job.ts"
import { openaiMetrics } from "./metrics.ts"
import { eventStream } from "./sse.ts"

/** The answer as server-sent events. What fails before the first of them is an answer of its own, later it is an event. */
export const streamAnswer = (context: AnswerContext, job: Job, head: AnswerHead) =>
  Effect.gen(function* () {
    const seen: Seen = { firstToken: false, completionTokens: 0, cachedTokens: 0 }
    const perPrompt = job.requests.map((request, prompt) => choicesOf(context, job, request, prompt, seen))
    const choices = yield* startNow(Stream.mergeAll(perPrompt, { concurrency: "unbounded" }))
    const chunk = { ...head, object: job.format.chunkObject }
    const usageSoFar = runningUsage(job, seen)
    const events = choices.pipe(
      // the prompt's log-probs in a choice may be megabytes
      Stream.map(({ choice, tokens }): Event => ({
        ...chunk,
        choices: new LazyList(() => [choice]),
        ...usageSoFar(tokens)
      })),
      Stream.concat(Stream.suspend(() => Stream.fromIterable(lastEvents(context, job, chunk, seen)))),
      Stream.catch((refused) => Stream.succeed<Event>(errorBody(refused)))
    )
    return eventStream(events)
  })

type Event = object | "[DONE]"

/** What is known of all prompts of a request together. */
interface Seen {
  firstToken: boolean
  completionTokens: number
  cachedTokens: number
}

/** What an event says of the token counts, by its own tokens. */
const runningUsage = ({ requests, streamUsage }: Job, seen: Seen): ((tokens: number) => object) => {
  let told = 0
  switch (streamUsage) {
    case "none":
      return () => ({})
    case "last":
      return () => ({ usage: null })
    case "always":
      return (tokens) => ({ usage: usageOf(requests, (told += tokens), seen.cachedTokens) })
  }
}

/** An object of the stream, and how many tokens it tells. */
interface StreamedChoice {
  readonly choice: object
  readonly tokens: number
}

/** The streamed choices of one prompt. */
const choicesOf = (
  { limits, metrics, since }: AnswerContext,
  { format, model, text }: Job,
  request: GenerationRequest,
  prompt: number,
  seen: Seen
): Stream.Stream<StreamedChoice, RequestRefused> =>
  Stream.suspend(() => {
    const samples = samplesOf(request)
    const first = prompt * samples
    const parts = choiceWriter(text, first)
    const openings = (scores: PromptScores | undefined): ReadonlyArray<StreamedChoice> =>
      Array.from({ length: samples }, (_, sample) => format.opening(prompt, first + sample, scores) ?? [])
        .flat()
        .map((choice) => ({ choice, tokens: 0 }))
    const note = (event: GenerationEvent) => {
      if (event._tag === "Finished") seen.completionTokens += event.response.responseIds.length
      // the same for all samples
      if (event._tag === "Finished" && event.response.sample === 0) seen.cachedTokens += event.cachedTokens ?? 0
      if (event._tag !== "Token" || seen.firstToken) return
      seen.firstToken = true
      metrics.add(openaiMetrics.firstToken, (performance.now() - since) / 1000)
    }
    return model.generator.stream(request).pipe(
      Stream.mapError(refusalOf(limits)),
      atMost(EVENTS),
      Stream.map(scoresFirst(request.promptLogProbs ?? false)),
      Stream.map(({ begins, events, scores }) => {
        events.forEach(note)
        const written = events.flatMap((event) =>
          parts(event).map((part) => ({ choice: format.part(part), tokens: part.tokens.length }))
        )
        return begins ? [...openings(scores), ...written] : written
      }),
      Stream.flattenIterable
    )
  })

/** Events that are read in one go: of a client that was slow, many have come together. */
const EVENTS = 32

/** Those that there are, in arrays of no more than `most`. */
const atMost =
  (most: number) =>
  <A, E>(stream: Stream.Stream<A, E>): Stream.Stream<A, E> =>
    Stream.transformPull(stream, (pull) =>
      Effect.sync(() => {
        let all: ReadonlyArray<A> = []
        let taken = 0
        const next = () => {
          const [first, ...others] = all.slice(taken, (taken += most))
          return [first!, ...others] as const
        }
        const pulled = Effect.map(pull, (pulledNow) => {
          ;[all, taken] = [pulledNow, 0]
          return next()
        })
        return Effect.suspend(() => (taken < all.length ? Effect.sync(next) : pulled))
      })
    )

interface Turn {
  /** True once: nothing was written before. */
  readonly begins: boolean
  readonly events: ReadonlyArray<GenerationEvent>
  readonly scores: PromptScores | undefined
}

/** Keeps events back until the prompt's scores are there, where they were asked for: a stream opens with them. */
const scoresFirst = (wanted: boolean): ((event: GenerationEvent) => Turn) => {
  let waiting: Array<GenerationEvent> = []
  let begun = false
  return (event) => {
    waiting.push(event)
    if (wanted && !begun && event._tag !== "Prompt") return { begins: false, events: [], scores: undefined }
    const turn = { begins: !begun, events: waiting, scores: event._tag === "Prompt" ? event.prompt : undefined }
    begun = true
    waiting = []
    return turn
  }
}

const lastEvents = ({ metrics }: AnswerContext, job: Job, chunk: object, seen: Seen): ReadonlyArray<Event> => {
  const usage = usageOf(job.requests, seen.completionTokens, seen.cachedTokens)
  countTokens(metrics, usage)
  return [...(job.streamUsage !== "none" ? [{ ...chunk, choices: [], usage }] : []), "[DONE]"]
}

/** Waits for the first elements; a failure before them is this effect's. The stream lives as long as the scope. */
const startNow = <A, E>(stream: Stream.Stream<A, E>): Effect.Effect<Stream.Stream<A, E>, E, Scope.Scope> =>
  Effect.gen(function* () {
    const pull = yield* Stream.toPull(stream)
    const first = yield* Pull.catchDone(pull, () => Effect.succeed<ReadonlyArray<A>>([]))
    return Stream.concat(Stream.fromIterable(first), Stream.fromPull(Effect.succeed(pull)))
  })
