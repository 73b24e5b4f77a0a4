import type { Effect, Stream } from "effect"
import type { GenerationError, GeneratorFailed } from "./errors.ts"
import type { GeneratedGroup, GenerationEvent, GenerationRequest } from "./request.ts"

export interface GeneratorShape {
  /**
   * Responses to all requests, groups in their order. The first failure fails all of it and carries the responses that
   * were whole by then. Interrupting it frees what it holds at once. Waits where the queue is full.
   */
  readonly generate: (
    requests: ReadonlyArray<GenerationRequest>
  ) => Effect.Effect<ReadonlyArray<GeneratedGroup>, GenerationError>
  /** The same for one request, as it happens. Ends after the last `Finished`; leaving it early cancels the request. */
  readonly stream: (request: GenerationRequest) => Stream.Stream<GenerationEvent, GenerationError>
  /** Version of the weights that the next token will be made with. */
  readonly policyVersion: Effect.Effect<number, GeneratorFailed>
  /**
   * Whether it writes on the device, and with the weights, of this process: who trains them then waits while it writes,
   * or a response has tokens of several versions.
   */
  readonly colocated: boolean
  readonly limits: GeneratorLimits
  readonly load: Effect.Effect<GeneratorLoad>
}

export interface GeneratorLimits {
  /** Most tokens of prompt and response together. */
  readonly contextTokens: number
  /** Token ids are below it. */
  readonly vocabulary: number
}

/** What a generator is doing now, for metrics. */
export interface GeneratorLoad {
  /** Responses that are being written. */
  readonly running: number
  /** Responses that wait for room, those of requests in the queue included. */
  readonly waiting: number
  /** Share of the memory for keys and values that is in use, in [0, 1]. */
  readonly cacheUse: number
  /** Since the start: tokens of prompts that were computed, tokens that were sampled, responses that were finished. */
  readonly promptTokens: number
  readonly sampledTokens: number
  readonly finishedResponses: number
  /** Since the start: tokens of prompts that kept pages had and nobody computed again. */
  readonly cachedTokens: number
  /** Since the start: tokens that were drafted, and those of them that were drawn in fact. */
  readonly draftedTokens: number
  readonly acceptedTokens: number
}
