import type { SamplingOptions } from "./sampling/options.ts"

/** A prompt to continue, `samples` times. Token ids in, token ids out: nothing on the way is tokenized. */
export interface GenerationRequest {
  /** [T] int32, 1 ≤ T; a generator of this process copies them when it is asked */
  readonly promptIds: Int32Array
  /** Responses to the prompt, which is computed once for all of them; 1 when absent. */
  readonly samples?: number
  /** Sample i draws from a stream of (seed, i); what else is generated beside it changes nothing. */
  readonly seed: number
  readonly sampling: SamplingOptions
  /** Seconds after which the caller gets GenerationTimedOut, waiting for room included; never when absent. */
  readonly deadlineSeconds?: number
  /** Whether stop strings are looked for in the text of special tokens, too, for those who are shown it; not when absent. */
  readonly stopInSpecialTokens?: boolean
  /** The most likely tokens of the policy to report at every position; 0 when absent. */
  readonly topLogProbs?: number
  /** Whether the prompt's own tokens are scored, too. */
  readonly promptLogProbs?: boolean
  /**
   * Who asks, by identity. An engine hands rows out to its callers in turn, and to the requests of one in the order they
   * came; those without one have one caller together.
   */
  readonly caller?: unknown
}

/** A token and its log-prob under the policy itself (temperature 1, nothing filtered or penalised), nats. */
export interface TokenLogProb {
  readonly id: number
  readonly logProb: number
}

/** What ended a response. */
export type StopMatch =
  { readonly kind: "id"; readonly id: number } | { readonly kind: "string"; readonly text: string }

export interface GeneratedResponse {
  /** Index in the group. */
  readonly sample: number
  /** [L] int32, the stop token and the tokens of a stop string included */
  readonly responseIds: Int32Array
  /** [L] float32, nats: under the distribution each token was drawn from; 0 at temperature 0 */
  readonly samplingLogProbs: Float32Array
  /** [L] float32, nats: under the policy itself (temperature 1, nothing filtered or penalised) */
  readonly policyLogProbs: Float32Array
  /** [L] int32, version of the weights that made each token */
  readonly policyVersions: Int32Array
  /** "length" where `maxNewTokens` or the model's context ended it */
  readonly finishReason: "stop" | "length"
  /** What matched, where the reason is "stop". */
  readonly stop: StopMatch | undefined
  /** [L] lists by falling log-prob, where `topLogProbs` asked for them */
  readonly topLogProbs: ReadonlyArray<ReadonlyArray<TokenLogProb>> | undefined
}

/** Scores of the prompt's tokens given those before them. The first has none: NaN and an empty list. */
export interface PromptScores {
  /** [T] float32, nats */
  readonly logProbs: Float32Array
  /** [T] lists by falling log-prob, empty ones where `topLogProbs` is 0 */
  readonly topLogProbs: ReadonlyArray<ReadonlyArray<TokenLogProb>>
}

/** The responses to one request, by sample. */
export interface GeneratedGroup {
  readonly promptIds: Int32Array
  readonly responses: ReadonlyArray<GeneratedResponse>
  /** Where `promptLogProbs` asked for it. */
  readonly prompt: PromptScores | undefined
  /** Tokens of the prompt whose keys and values another request had left; absent where none are left, and where the generator does not know. */
  readonly cachedTokens?: number | undefined
}

/** What happens while a request is worked on. Events of one sample are in order; samples are interleaved. */
export type GenerationEvent = { readonly _tag: "Prompt"; readonly prompt: PromptScores } | TokenEvent | FinishedEvent

export interface FinishedEvent {
  readonly _tag: "Finished"
  readonly response: GeneratedResponse
  /** As of the group. */
  readonly cachedTokens?: number | undefined
}

export interface TokenEvent {
  readonly _tag: "Token"
  readonly sample: number
  /** Place in the response. */
  readonly index: number
  readonly id: number
  readonly samplingLogProb: number
  readonly policyLogProb: number
  readonly policyVersion: number
  /** Empty where `topLogProbs` is 0. */
  readonly topLogProbs: ReadonlyArray<TokenLogProb>
}
