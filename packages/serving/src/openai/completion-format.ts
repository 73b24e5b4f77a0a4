import type { GeneratedGroup, GeneratedResponse, PromptScores } from "@plumbline/rollout-generation"
import { type ChoicePart, scoredTokens, type TextOptions, textOf } from "./choice-writer.ts"
import type { AnswerFormat } from "./job.ts"
import { completionLogProbs, type ScoredToken } from "./log-probs.ts"
import type { Prompt } from "./prompts.ts"
import { ending, partTokens, responseTokens } from "./token-ids.ts"
import { codePoints } from "./token-offsets.ts"
import type { TokenText } from "./token-text.ts"

export interface CompletionFormat {
  readonly prompts: ReadonlyArray<Prompt>
  /** Choices a prompt: the best ones where more responses were made. */
  readonly samples: number
  readonly text: TextOptions
  readonly tokenText: TokenText
  readonly echo: boolean
  readonly logProbs: boolean
  readonly tokenIds: boolean
}

/** Answers of `/v1/completions`. */
export const completionFormat = (options: CompletionFormat): AnswerFormat => ({
  idPrefix: "cmpl-",
  object: "text_completion",
  chunkObject: "text_completion",
  extras: {},
  choices: (groups) =>
    groups.flatMap((group, prompt) =>
      best(group.responses, options.samples).map((response, i) =>
        wholeChoice(options, group, options.prompts[prompt]!, response, options.samples * prompt + i)
      )
    ),
  opening: (prompt, choice, scores) => {
    if (!options.echo) return undefined
    const { ids, text } = options.prompts[prompt]!
    const tokens = scores === undefined ? undefined : promptTokens(options, ids, scores)
    return { ...choiceOf(options, choice, text(), tokens), ...promptIds(options, ids), finish_reason: null }
  },
  part: (part) => streamedChoice(options, part)
})

/** All, in their order; or the `count` whose tokens are likeliest on average, the best first. */
const best = (responses: ReadonlyArray<GeneratedResponse>, count: number): ReadonlyArray<GeneratedResponse> => {
  if (responses.length <= count) return responses
  const mean = ({ policyLogProbs }: GeneratedResponse) =>
    policyLogProbs.reduce((sum, logProb) => sum + logProb, 0) / Math.max(1, policyLogProbs.length)
  return responses.toSorted((a, b) => mean(b) - mean(a)).slice(0, count)
}

const wholeChoice = (
  options: CompletionFormat,
  group: GeneratedGroup,
  prompt: Prompt,
  response: GeneratedResponse,
  choice: number
) => {
  const text = textOf(options.text, response)
  return {
    ...choiceOf(
      options,
      choice,
      options.echo ? prompt.text() + text : text,
      wholeTokens(options, group, prompt, response)
    ),
    ...promptIds(options, prompt.ids),
    ...(options.tokenIds ? responseTokens(response) : {}),
    ...ending(response)
  }
}

/** Tokens of the answer with those of the prompt where it is said again; undefined where nobody asked. */
const wholeTokens = (
  options: CompletionFormat,
  group: GeneratedGroup,
  prompt: Prompt,
  { policyLogProbs, responseIds, topLogProbs }: GeneratedResponse
): ReadonlyArray<ScoredToken> | undefined => {
  if (!options.logProbs) return undefined
  const shift = options.echo ? codePoints(prompt.text()) : 0
  const tokens = scoredTokens(options.text, responseIds, policyLogProbs, topLogProbs)
  const shifted = tokens.map((token) => ({ ...token, offset: token.offset + shift }))
  const before = options.echo && group.prompt !== undefined ? promptTokens(options, prompt.ids, group.prompt) : []
  return [...before, ...shifted]
}

const streamedChoice = (options: CompletionFormat, { choice, finished, text, tokens }: ChoicePart) => {
  const shift = options.echo ? codePoints(options.prompts[Math.floor(choice / options.samples)]!.text()) : 0
  return {
    ...choiceOf(options, choice, text, tokens, shift),
    ...(options.tokenIds ? partTokens(tokens) : {}),
    ...(finished === undefined ? { finish_reason: null } : ending(finished))
  }
}

const promptIds = ({ tokenIds }: CompletionFormat, ids: Int32Array) => (tokenIds ? { prompt_token_ids: [...ids] } : {})

const promptTokens = ({ text }: CompletionFormat, ids: Int32Array, scores: PromptScores) =>
  scoredTokens(text, ids, scores.logProbs, scores.topLogProbs)

const choiceOf = (
  { logProbs, tokenText }: CompletionFormat,
  index: number,
  text: string,
  tokens: ReadonlyArray<ScoredToken> | undefined,
  shift = 0
) => ({
  index,
  text,
  logprobs: logProbs && tokens !== undefined ? completionLogProbs(tokens, tokenText, shift) : null
})
