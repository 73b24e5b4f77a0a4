import type { GeneratedGroup, GenerationRequest, PromptScores } from "@plumbline/rollout-generation"
import type { LazyList } from "../shell/json-texts.ts"
import type { ChoicePart, TextOptions } from "./choice-writer.ts"
import type { ServedModel } from "./served-model.ts"

/** A request that was understood: what to generate, and how to write the answer. */
export interface Job {
  readonly model: ServedModel
  /** One a prompt; choice `samples · prompt + sample` is its response. */
  readonly requests: ReadonlyArray<GenerationRequest>
  readonly text: TextOptions
  readonly stream: boolean
  readonly streamUsage: StreamUsage
  readonly format: AnswerFormat
}

/** Whether a stream ends with the token counts, and whether each event has those so far. */
export type StreamUsage = "none" | "last" | "always"

/** How one kind of completion writes its answers. */
export interface AnswerFormat {
  /** Beginning of the answer's id. */
  readonly idPrefix: string
  readonly object: string
  readonly chunkObject: string
  /** The choices of a whole answer, made as they are written. */
  readonly choices: (groups: ReadonlyArray<GeneratedGroup>) => LazyList<object>
  /** Fields of a whole answer beside its choices. */
  readonly extras: object
  /** What a stream says of a choice before its first token. @param scores where the request asked for the prompt's */
  readonly opening: (prompt: number, choice: number, scores: PromptScores | undefined) => object | undefined
  readonly part: (part: ChoicePart) => object
}

/** Samples of a prompt. */
export const samplesOf = ({ samples }: GenerationRequest): number => samples ?? 1

export interface Usage {
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly total_tokens: number
  readonly prompt_tokens_details: { readonly cached_tokens: number }
}

/**
 * A prompt counts once, however many samples it has.
 *
 * @param completionTokens of all responses
 * @param cachedTokens of all prompts those that nobody computed again
 */
export const usageOf = (
  requests: ReadonlyArray<GenerationRequest>,
  completionTokens: number,
  cachedTokens: number
): Usage => {
  const promptTokens = requests.reduce((total, { promptIds }) => total + promptIds.length, 0)
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens }
  }
}
