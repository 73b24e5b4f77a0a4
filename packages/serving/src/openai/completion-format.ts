import type { GeneratedResponse, PromptScores } from "@plumbline/rollout-generation"
import { lazyMap, LazyList } from "../shell/json-texts.ts"
import { type ChoicePart, scoredTokens, type TextOptions, textOf } from "./choice-writer.ts"
import type { AnswerFormat } from "./job.ts"
import { completionLogProbs, type ScoredToken } from "./log-probs.ts"
import type { Prompt } from "./prompts.ts"
import { ending, numbers, partTokens, responseTokens } from "./token-ids.ts"
import { rememberedOffsets } from "./token-offsets.ts"
import type { TokenWords } from "./token-text.ts"

export interface CompletionFormat {
  readonly prompts: ReadonlyArray<Prompt>
  /** Choices a prompt: the best ones where more responses were made. */
  readonly samples: number
  readonly text: TextOptions
  readonly words: TokenWords
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
    new LazyList(function* () {
      let choice = 0
      for (const [p, group] of groups.entries()) {
        const prompt = options.prompts[p]!
        const before = options.echo ? echoedTokens(prompt, group.prompt) : undefined
        for (const response of best(group.responses, options.samples)) {
          yield wholeChoice(options, prompt, before, response, choice++)
        }
      }
    }),
  opening: (p, index, scores) => {
    if (!options.echo) return undefined
    const prompt = options.prompts[p]!
    const logprobs = options.logProbs && scores !== undefined ? logProbsOf(options, echoedTokens(prompt, scores)) : null
    return { index, text: prompt.text(), logprobs, ...promptIds(options, prompt.ids), finish_reason: null }
  },
  part: (part) => streamedChoice(options, part)
})

/** All, in their order; or the `count` whose tokens are likeliest on average, the best first. */
const best = (responses: ReadonlyArray<GeneratedResponse>, count: number): ReadonlyArray<GeneratedResponse> => {
  if (responses.length <= count) return responses
  const means = new Map(responses.map((response) => [response, meanOf(response)]))
  return responses.toSorted((a, b) => means.get(b)! - means.get(a)!).slice(0, count)
}

const meanOf = ({ policyLogProbs }: GeneratedResponse): number =>
  policyLogProbs.reduce((sum, logProb) => sum + logProb, 0) / Math.max(1, policyLogProbs.length)

/** Tokens, and the places in their choice's text at which they start. */
interface PlacedTokens {
  readonly tokens: Iterable<ScoredToken>
  readonly offsets: Iterable<number>
}

/** The tokens of a prompt that are said again. */
const echoedTokens = ({ ids, offsets }: Prompt, scores: PromptScores | undefined): PlacedTokens | undefined =>
  scores && { tokens: scoredTokens(ids, scores.logProbs, scores.topLogProbs), offsets }

const wholeChoice = (
  options: CompletionFormat,
  prompt: Prompt,
  before: PlacedTokens | undefined,
  response: GeneratedResponse,
  index: number
) => {
  const text = textOf(options.text, response)
  return {
    index,
    text: options.echo ? prompt.text() + text : text,
    logprobs: options.logProbs ? logProbsOf(options, before, responseTokensOf(options, prompt, response)) : null,
    ...promptIds(options, prompt.ids),
    ...(options.tokenIds ? responseTokens(response) : {}),
    ...ending(response)
  }
}

const responseTokensOf = (
  { echo, text }: CompletionFormat,
  prompt: Prompt,
  { policyLogProbs, responseIds, topLogProbs }: GeneratedResponse
): PlacedTokens => {
  const offsets = rememberedOffsets(text.tokenizer, text.skipSpecialTokens, responseIds)
  return {
    tokens: scoredTokens(responseIds, policyLogProbs, topLogProbs),
    offsets: echo ? lazyMap(offsets, (offset) => offset + prompt.codePoints()) : offsets
  }
}

const streamedChoice = (options: CompletionFormat, { choice, finished, text, tokens }: ChoicePart) => {
  const shift = options.echo ? options.prompts[Math.floor(choice / options.samples)]!.codePoints() : 0
  const placed = { tokens, offsets: lazyMap(tokens, ({ offset }) => offset + shift) }
  return {
    index: choice,
    text,
    logprobs: options.logProbs ? logProbsOf(options, placed) : null,
    ...(options.tokenIds ? partTokens(tokens) : {}),
    ...(finished === undefined ? { finish_reason: null } : ending(finished))
  }
}

const promptIds = ({ tokenIds }: CompletionFormat, ids: Int32Array) =>
  tokenIds ? { prompt_token_ids: numbers(ids) } : {}

const logProbsOf = ({ words }: CompletionFormat, ...lists: ReadonlyArray<PlacedTokens | undefined>) => {
  const joined = <A>(listOf: (list: PlacedTokens) => Iterable<A>) =>
    new LazyList(function* () {
      for (const list of lists) if (list !== undefined) yield* listOf(list)
    })
  return completionLogProbs(
    joined(({ tokens }) => tokens),
    joined(({ offsets }) => offsets),
    words
  )
}
