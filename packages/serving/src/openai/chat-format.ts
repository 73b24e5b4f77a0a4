import type { GeneratedResponse } from "@plumbline/rollout-generation"
import { scoredTokens, type TextOptions, textOf } from "./choice-writer.ts"
import type { AnswerFormat } from "./job.ts"
import { chatLogProbs } from "./log-probs.ts"
import { ending, partTokens, responseTokens } from "./token-ids.ts"
import type { TokenText } from "./token-text.ts"

export interface ChatFormat {
  readonly promptIds: Int32Array
  readonly text: TextOptions
  readonly tokenText: TokenText
  readonly logProbs: boolean
  readonly tokenIds: boolean
}

/** Answers of `/v1/chat/completions`. */
export const chatFormat = (options: ChatFormat): AnswerFormat => ({
  idPrefix: "chatcmpl-",
  object: "chat.completion",
  chunkObject: "chat.completion.chunk",
  extras: options.tokenIds ? { prompt_token_ids: [...options.promptIds] } : {},
  choices: (groups) => groups.flatMap(({ responses }) => responses.map((response) => wholeChoice(options, response))),
  opening: (_, index) => ({
    index,
    delta: { role: "assistant", content: "" },
    logprobs: null,
    finish_reason: null,
    ...(options.tokenIds ? { prompt_token_ids: [...options.promptIds] } : {})
  }),
  part: ({ choice, finished, text, tokens }) => ({
    index: choice,
    delta: text === "" ? {} : { content: text },
    logprobs: options.logProbs ? chatLogProbs(tokens, wordsOf(options)) : null,
    ...(options.tokenIds ? partTokens(tokens) : {}),
    ...(finished === undefined ? { finish_reason: null } : ending(finished))
  })
})

const wordsOf = ({ text, tokenText }: ChatFormat) => ({ tokenText, tokenBytes: text.tokenizer.tokenBytes })

const wholeChoice = (options: ChatFormat, response: GeneratedResponse) => {
  const { policyLogProbs, responseIds, sample, topLogProbs } = response
  return {
    index: sample,
    message: { role: "assistant", content: textOf(options.text, response), refusal: null },
    logprobs: options.logProbs
      ? chatLogProbs(scoredTokens(options.text, responseIds, policyLogProbs, topLogProbs), wordsOf(options))
      : null,
    ...(options.tokenIds ? responseTokens(response) : {}),
    ...ending(response)
  }
}
