import type { GeneratorLimits } from "../generator-shape.ts"

/** How to reach a server that speaks OpenAI's API, and what to know of it that it does not say. */
export interface RemoteOptions {
  /** With the version: `http://127.0.0.1:8000/v1`. */
  readonly baseUrl: string
  /** The first one that the server lists when absent. */
  readonly model?: string
  /** Sent as `Authorization: Bearer`. */
  readonly token?: string
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>>
  /** Requests on their way at the same time; 64 when absent. */
  readonly maxConcurrency?: number
  /** Times a request is sent again after a lost connection, 408, 429 or 5xx; 6 when absent. */
  readonly maxRetries?: number
  /** Milliseconds before the first of these, twice as many before each later one; 250 when absent. */
  readonly retryDelay?: number
  /** Seconds for which these may wait for a server that cannot be connected to, from here or from a proxy (502): one that was killed is told of in time; 4 when absent. */
  readonly reconnectSeconds?: number
  /** Seconds for `/models` and `/weights`, which cost a server nothing; 10 when absent. A request for responses has its own deadline. */
  readonly answerSeconds?: number
  /** Seconds without a sign of life after which a server that is waited for is taken for stopped; 6 when absent. */
  readonly silence?: number
  /** Where `/models` does not say it. */
  readonly contextTokens?: number
  /** Where `/models` does not say it. */
  readonly vocabulary?: number
  /**
   * What the server's `logprobs` are: of the policy itself (vLLM's `raw_logprobs`, its default; `plumb serve`), or of the
   * distribution that was drawn from (`processed_logprobs`). "policy" when absent; of SGLang nothing is presumed beyond
   * temperatures 0 and 1: started with SGLANG_RETURN_ORIGINAL_LOGPROB=1 it reports the policy's, and otherwise where
   * temperature is all that changes something, what was drawn from.
   */
  readonly logProbs?: "policy" | "sampling"
  /**
   * Lets log-probs that the server does not report be NaN; they are a failure otherwise. Most servers report one kind,
   * and the two agree only where sampling is plain.
   */
  readonly unknownLogProbs?: boolean
  /**
   * Fields that make the server return token ids, a log-prob for each, and the stop token among them; vLLM's, SGLang's and
   * ours when absent. TensorRT-LLM: `{ detokenize: false, logprobs: 1, include_stop_str_in_output: true, top_k: 0 }`, for it
   * takes no −1 where top-k is off; where it is on, that is sent.
   */
  readonly tokenIdFields?: Readonly<Record<string, unknown>>
  /** Version that the weights must have, where the server reports one: older tokens are a failure. */
  readonly expectedVersion?: () => number
}

/** Options with all that is known of the server's model. */
export interface KnownServer extends Omit<RemoteOptions, keyof GeneratorLimits | "logProbs">, GeneratorLimits {
  /** Undefined where nobody says it. */
  readonly logProbs: RemoteOptions["logProbs"] | undefined
}

/** The version of weights that a server does not report. */
export const UNKNOWN_VERSION = -1

export const TOKEN_ID_FIELDS = { return_token_ids: true, return_tokens_as_token_ids: true } as const
