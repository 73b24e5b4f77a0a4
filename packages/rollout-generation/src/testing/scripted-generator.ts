import { Effect, Stream } from "effect"
import { type GenerationError, GeneratorFailed } from "../errors.ts"
import type { GeneratorShape } from "../generator-shape.ts"
import type { GeneratedGroup, GeneratedResponse, GenerationEvent, GenerationRequest, StopMatch } from "../request.ts"

export interface Script {
  /** What sample i of a request says. */
  readonly says: (request: GenerationRequest, sample: number) => ReadonlyArray<number>
  readonly stop?: StopMatch
  /** Milliseconds before each token. */
  readonly pause?: number
  /** Fails before the token at this place. */
  readonly failsAt?: number
  /** How many requests come before the first that fails; 0 when absent. */
  readonly failsFrom?: number
  readonly vocabulary: number
  readonly contextTokens: number
  /** Of each prompt. */
  readonly cachedTokens?: number
}

export interface Scripted extends GeneratorShape {
  /** Every request that came. */
  readonly requests: Array<GenerationRequest>
  /** Requests being worked on. */
  readonly active: () => number
}

/** A Generator that says what it is told. Token id has log-prob −id/100; −id/50 under the distribution drawn from. */
export const scriptedGenerator = (script: Script): Scripted => {
  const requests: Array<GenerationRequest> = []
  let active = 0
  const stream = (request: GenerationRequest): Stream.Stream<GenerationEvent, GenerationError> =>
    Stream.suspend(() => {
      const fails = requests.length >= (script.failsFrom ?? 0)
      requests.push(request)
      active++
      return Stream.fromIterable(eventsOf(script, request)).pipe(
        Stream.mapEffect((event): Effect.Effect<GenerationEvent, GenerationError> => {
          if (event._tag !== "Token") return Effect.succeed(event)
          const failed = fails && event.index === script.failsAt
          const told = failed
            ? Effect.fail(new GeneratorFailed({ reason: "out of script", finished: [] }))
            : Effect.succeed(event)
          return script.pause === undefined ? told : Effect.delay(told, script.pause)
        }),
        Stream.rechunk(1),
        Stream.ensuring(Effect.sync(() => active--))
      )
    })
  const group = (request: GenerationRequest): Effect.Effect<GeneratedGroup, GenerationError> =>
    Effect.map(Stream.runCollect(stream(request)), (events) => ({
      promptIds: request.promptIds,
      responses: events.flatMap((event) => (event._tag === "Finished" ? [event.response] : [])),
      prompt: events.flatMap((event) => (event._tag === "Prompt" ? [event.prompt] : []))[0],
      cachedTokens: events.flatMap((event) => (event._tag === "Finished" ? [event.cachedTokens] : []))[0]
    }))
  return {
    requests,
    active: () => active,
    stream,
    generate: (all) => Effect.forEach(all, group, { concurrency: "unbounded" }),
    policyVersion: Effect.succeed(7),
    colocated: false,
    limits: { contextTokens: script.contextTokens, vocabulary: script.vocabulary },
    load: Effect.sync(() => ({
      running: active,
      waiting: 0,
      cacheUse: 0,
      promptTokens: 0,
      sampledTokens: 0,
      finishedResponses: 0,
      cachedTokens: 0,
      draftedTokens: 0,
      acceptedTokens: 0
    }))
  }
}

const alternatives = (id: number, count: number) =>
  Array.from({ length: count }, (_, rank) => ({ id: id + rank, logProb: Math.fround(-(id + rank) / 100) }))

const eventsOf = (script: Script, request: GenerationRequest): ReadonlyArray<GenerationEvent> => {
  const top = request.topLogProbs ?? 0
  const ids = [...request.promptIds]
  const scores: GenerationEvent = {
    _tag: "Prompt",
    prompt: {
      logProbs: Float32Array.from(ids, (id, t) => (t === 0 ? NaN : -id / 100)),
      topLogProbs: ids.map((id, t) => (t === 0 ? [] : alternatives(id, top)))
    }
  }
  const responses = Array.from({ length: request.samples ?? 1 }, (_, sample) => responseOf(script, request, sample))
  return [
    ...(request.promptLogProbs === true ? [scores] : []),
    ...responses.flatMap((one) => responseEvents(one, top, script.cachedTokens))
  ]
}

const responseOf = (script: Script, request: GenerationRequest, sample: number): GeneratedResponse => {
  const said = script.says(request, sample)
  const ids = said.slice(0, request.sampling.maxNewTokens)
  const stopped = ids.length === said.length
  const top = request.topLogProbs ?? 0
  return {
    sample,
    responseIds: Int32Array.from(ids),
    samplingLogProbs: Float32Array.from(ids, (id) => -id / 50),
    policyLogProbs: Float32Array.from(ids, (id) => -id / 100),
    policyVersions: new Int32Array(ids.length).fill(7),
    finishReason: stopped ? "stop" : "length",
    stop: stopped ? script.stop : undefined,
    topLogProbs: top > 0 ? ids.map((id) => alternatives(id, top)) : undefined
  }
}

const responseEvents = (
  response: GeneratedResponse,
  top: number,
  cachedTokens: number | undefined
): ReadonlyArray<GenerationEvent> => [
  ...Array.from(response.responseIds, (id, index): GenerationEvent => ({
    _tag: "Token",
    sample: response.sample,
    index,
    id,
    samplingLogProb: response.samplingLogProbs[index]!,
    policyLogProb: response.policyLogProbs[index]!,
    policyVersion: 7,
    topLogProbs: alternatives(id, top)
  })),
  { _tag: "Finished", response, cachedTokens }
]
