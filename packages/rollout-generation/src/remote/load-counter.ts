import { Effect, type Scope } from "effect"
import type { GeneratorLoad } from "../generator-shape.ts"
import type { GeneratedGroup, GenerationEvent, GenerationRequest } from "../request.ts"

/** Counts what is on its way to a server and back. */
export interface LoadCounter {
  readonly load: () => GeneratorLoad
  /** While the effect waits for its turn. */
  readonly waiting: (request: GenerationRequest) => <A, E, R>(wait: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Until the scope closes. */
  readonly running: (request: GenerationRequest) => Effect.Effect<void, never, Scope.Scope>
  readonly noteGroup: (group: GeneratedGroup) => void
  readonly noteEvent: (request: GenerationRequest, event: GenerationEvent) => void
}

export const loadCounter = (): LoadCounter => {
  const counts = { running: 0, waiting: 0, promptTokens: 0, sampledTokens: 0, finishedResponses: 0 }
  const rows = ({ samples = 1 }: GenerationRequest) => samples
  return {
    // of these the server knows
    load: () => ({ ...counts, cacheUse: 0, cachedTokens: 0, draftedTokens: 0, acceptedTokens: 0 }),
    waiting: (request) => (wait) =>
      Effect.suspend(() => {
        counts.waiting += rows(request)
        return Effect.ensuring(
          wait,
          Effect.sync(() => (counts.waiting -= rows(request)))
        )
      }),
    running: (request) =>
      Effect.asVoid(
        Effect.acquireRelease(
          Effect.sync(() => (counts.running += rows(request))),
          () => Effect.sync(() => (counts.running -= rows(request)))
        )
      ),
    noteGroup: ({ promptIds, responses }) => {
      counts.promptTokens += promptIds.length
      counts.finishedResponses += responses.length
      counts.sampledTokens += responses.reduce((total, { responseIds }) => total + responseIds.length, 0)
    },
    noteEvent: (request, event) => {
      if (event._tag === "Token") counts.sampledTokens++
      if (event._tag !== "Finished") return
      counts.finishedResponses++
      if (event.response.sample === 0) counts.promptTokens += request.promptIds.length
    }
  }
}
