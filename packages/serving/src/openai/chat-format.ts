import type { GeneratedResponse } from "@plumbline/rollout-generation"
import { LazyList } from "../shell/json-texts.ts"
import { type ChoicePart, scoredTokens, type TextOptions, textOf } from "./choice-writer.ts"
import type { AnswerFormat } from "./job.ts"
import { chatLogProbs } from "./log-probs.ts"
import { ending, numbers, partTokens, responseTokens } from "./token-ids.ts"
import type { TokenWords } from "./token-text.ts"
import { splitText, type ToolText, toolText } from "./tool-text.ts"

export interface ChatFormat {
  readonly promptIds: Int32Array
  readonly text: TextOptions
  readonly words: TokenWords
  readonly logProbs: boolean
  readonly tokenIds: boolean
  /** Whether calls of the client's functions are looked for. */
  readonly calls: boolean
}

/** Answers of `/v1/chat/completions`. */
export const chatFormat = (options: ChatFormat): AnswerFormat => {
  const deltaOf = options.calls ? callingDeltas() : plainDelta
  return {
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
    part: (part) => {
      const { choice, finished, tokens } = part
      const { called, delta } = deltaOf(part)
      return {
        index: choice,
        delta,
        logprobs: options.logProbs ? chatLogProbs(tokens, options.words) : null,
        ...(options.tokenIds ? partTokens(tokens) : {}),
        ...(finished === undefined ? { finish_reason: null } : endingOf(finished, called))
      }
    }
  }
}

interface Delta {
  readonly delta: object
  /** Whether the choice has called a function so far. */
  readonly called: boolean
}

const plainDelta = ({ text }: ChoicePart): Delta => ({ delta: text === "" ? {} : { content: text }, called: false })

/** Each call is told whole, once it is finished. */
const callingDeltas = (): ((part: ChoicePart) => Delta) => {
  const choices = new Map<number, { readonly text: ToolText; calls: number }>()
  return ({ choice, finished, text }) => {
    const known = choices.get(choice) ?? { text: toolText(), calls: 0 }
    choices.set(choice, known)
    const now = known.text.push(text)
    const content = finished === undefined ? now.content : now.content + known.text.finish().content
    const calls = now.calls.map((call, i) => ({ index: known.calls + i, ...call }))
    known.calls += calls.length
    const delta = { ...(content === "" ? {} : { content }), ...(calls.length === 0 ? {} : { tool_calls: calls }) }
    return { delta, called: known.calls > 0 }
  }
}

/** Whoever stopped after a call waits for what it gives. */
const endingOf = (response: GeneratedResponse, called: boolean) =>
  called && response.finishReason === "stop" ? { ...ending(response), finish_reason: "tool_calls" } : ending(response)

const wholeChoice = (options: ChatFormat, response: GeneratedResponse) => {
  const { policyLogProbs, responseIds, sample, topLogProbs } = response
  const text = textOf(options.text, response)
  const { calls, content } = options.calls ? splitText(text) : { content: text, calls: [] }
  return {
    index: sample,
    message: {
      role: "assistant",
      content: calls.length > 0 && content === "" ? null : content,
      refusal: null,
      ...(calls.length > 0 ? { tool_calls: calls } : {})
    },
    logprobs: options.logProbs
      ? chatLogProbs(scoredTokens(responseIds, policyLogProbs, topLogProbs), options.words)
      : null,
    ...(options.tokenIds ? responseTokens(response) : {}),
    ...endingOf(response, calls.length > 0)
  }
}
