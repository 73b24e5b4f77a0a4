import type { TokenizerShape } from "@plumbline/data"
import {
  type GeneratedResponse,
  type GenerationEvent,
  responseText,
  type TokenEvent
} from "@plumbline/rollout-generation"
import { LazyList } from "../shell/json-texts.ts"
import { heldText } from "./held-text.ts"
import type { ScoredToken } from "./log-probs.ts"
import { tokenOffsets } from "./token-offsets.ts"

export interface WrittenToken extends ScoredToken {
  /** Place in the text of its response at which it starts; code points. */
  readonly offset: number
  readonly samplingLogProb: number
  readonly policyVersion: number
}

/** The next piece of a streamed choice. */
export interface ChoicePart {
  readonly choice: number
  readonly text: string
  /** Tokens since the last part; text of some of them may still be held back. */
  readonly tokens: ReadonlyArray<WrittenToken>
  /** Set in the last part. */
  readonly finished: GeneratedResponse | undefined
}

export interface TextOptions {
  readonly tokenizer: TokenizerShape
  readonly stopStrings: ReadonlyArray<string>
  /** Ids that end a response, and are then no part of its text. */
  readonly stopIds: ReadonlyArray<number>
  readonly skipSpecialTokens: boolean
  /** Whether the places of tokens in the text are told; else all of them are 0. */
  readonly offsets: boolean
}

/** The text of a whole response, cut before the stop token or the stop string that ended it. */
export const textOf = (
  { skipSpecialTokens, tokenizer }: TextOptions,
  { responseIds, stop }: GeneratedResponse
): string => {
  const spoken = stop?.kind === "id" ? responseIds.subarray(0, -1) : responseIds
  return responseText({ decode: (ids) => tokenizer.decode(ids, { skipSpecialTokens }) }, { responseIds: spoken, stop })
}

/** Tokens with their scores. @param top undefined where nobody asked */
export const scoredTokens = (
  ids: Int32Array,
  logProbs: Float32Array,
  top: GeneratedResponse["topLogProbs"]
): LazyList<ScoredToken> =>
  new LazyList(function* () {
    for (let t = 0; t < ids.length; t++) yield { id: ids[t]!, logProb: logProbs[t]!, top: top?.[t] ?? [] }
  })

/** Turns the events of one prompt into parts of its choices, which are numbered from `first`. */
export const choiceWriter = (
  options: TextOptions,
  first: number
): ((event: GenerationEvent) => ReadonlyArray<ChoicePart>) => {
  const samples = new Map<number, ReturnType<typeof sampleWriter>>()
  const writerOf = (sample: number) => {
    const writer = samples.get(sample) ?? sampleWriter(options, first + sample)
    samples.set(sample, writer)
    return writer
  }
  return (event) => {
    if (event._tag === "Prompt") return []
    if (event._tag === "Token") return writerOf(event.sample).token(event)
    return writerOf(event.response.sample).end(event.response)
  }
}

const sampleWriter = (options: TextOptions, choice: number) => {
  const text = heldText(options.tokenizer, options.stopStrings, options.skipSpecialTokens)
  const offset = options.offsets ? tokenOffsets(options.tokenizer, options.skipSpecialTokens) : () => 0
  let tokens: Array<WrittenToken> = []
  const part = (told: string, finished?: GeneratedResponse): ReadonlyArray<ChoicePart> => {
    const made = { choice, text: told, tokens, finished }
    tokens = []
    return [made]
  }
  return {
    token: (event: TokenEvent) => {
      const { id, policyLogProb, policyVersion, samplingLogProb, topLogProbs } = event
      const scored = { id, logProb: policyLogProb, top: topLogProbs, offset: offset(id) }
      tokens.push({ ...scored, samplingLogProb, policyVersion })
      const told = options.stopIds.includes(event.id) ? "" : text.push(event.id)
      return told === "" ? [] : part(told)
    },
    end: (response: GeneratedResponse) => part(text.finish(textOf(options, response)), response)
  }
}
