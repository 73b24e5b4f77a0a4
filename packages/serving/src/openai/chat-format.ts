import type { GeneratedResponse } from "@plumbline/rollout-generation"
import { LazyList } from "../shell/json-texts.ts"
import { scoredTokens, type TextOptions, textOf } from "./choice-writer.ts"
import type { AnswerFormat } from "./job.ts"
import { chatLogProbs } from "./log-probs.ts"
import { ending, numbers, partTokens, responseTokens } from "./token-ids.ts"
import type { TokenWords } from "./token-text.ts"

export interface ChatFormat {
  readonly promptIds: Int32Array
  readonly text: TextOptions
  readonly words: TokenWords
  readonly logProbs: boolean
  readonly tokenIds: boolean
}

/** Answers of `/v1/chat/completions`. */
export const chatFormat = (options: ChatFormat): AnswerFormat => ({
  idPrefix: "chatcmpl-",
  object: "chat.completion",
  chunkObject: "chat.completion.chunk",
  extras: options.tokenIds ? { prompt_token_ids: numbers(options.promptIds) } : {},
  choices: (groups) =>
    new LazyList(function* () {
      for (const { responses } of groups) for (const response of responses) yield wholeChoice(options, response)
    }),
  opening: (_, index) => ({
    index,
    delta: { role: "assistant", content: "" },
    logprobs: null,
    finish_reason: null,
    ...(options.tokenIds ? { prompt_token_ids: numbers(options.promptIds) } : {})
  }),
  part: ({ choice, finished, text, tokens }) => ({
    index: choice,
    delta: text === "" ? {} : { content: text },
    logprobs: options.logProbs ? chatLogProbs(tokens, options.words) : null,
    ...(options.tokenIds ? partTokens(tokens) : {}),
    ...(finished === undefined ? { finish_reason: null } : ending(finished))
  })
})

const wholeChoice = (options: ChatFormat, response: GeneratedResponse) => {
  const { policyLogProbs, responseIds, sample, topLogProbs } = response
  return {
    index: sample,
    message: { role: "assistant", content: textOf(options.text, response), refusal: null },
    logprobs: options.logProbs
      ? chatLogProbs(scoredTokens(responseIds, policyLogProbs, topLogProbs), options.words)
      : null,
    ...(options.tokenIds ? responseTokens(response) : {}),
    ...ending(response)
  }
}
