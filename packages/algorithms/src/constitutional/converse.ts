import { attempt, type Message, Tokenizer, tokenizePrompt } from "@plumbline/data"
import { Generator, responseText, type SamplingOptions, samplingOptions } from "@plumbline/rollout-generation"
import { philoxStream } from "@plumbline/runtime"
import { Effect } from "effect"

export interface ConverseOptions {
  readonly seed: number
  readonly sampling: Partial<typeof SamplingOptions.Encoded>
}

/**
 * What the model says next in each chat; the answers end at the tokenizer's stop tokens.
 *
 * @param turn of the chats: each has draws of its own
 * @param numbers of the chats, from which their draws follow
 */
export const nextTurns = Effect.fnUntraced(function* (
  chats: ReadonlyArray<ReadonlyArray<Message>>,
  numbers: ReadonlyArray<number>,
  turn: number,
  { sampling, seed }: ConverseOptions
) {
  const tokenizer = yield* Tokenizer
  const generator = yield* Generator
  const prompts = yield* attempt(() => chats.map((chat) => tokenizePrompt(tokenizer, chat)))
  const options = samplingOptions({ ...sampling, stopIds: [...(sampling.stopIds ?? []), ...tokenizer.stopIds] })
  // a seed for each chat, so that its draws do not depend on which others are asked with it
  const seeds = philoxStream(seed, `turn ${turn}`)
  const requests = prompts.map((promptIds, i) => ({ promptIds, seed: seeds.uint32(numbers[i]!), sampling: options }))
  const groups = yield* generator.generate(requests)
  return groups.map(({ responses }) => responseText(tokenizer, responses[0]!).trim())
})
