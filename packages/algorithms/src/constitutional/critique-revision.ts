import type { Message } from "@plumbline/data"
import { Effect } from "effect"
import { drawn, type Principle } from "./constitution.ts"
import { type ConverseOptions, nextTurns } from "./converse.ts"

/** A question to the model, and its number, from which its draws follow. */
export interface NumberedPrompt {
  readonly number: number
  readonly messages: ReadonlyArray<Message>
}

export interface Revised extends NumberedPrompt {
  readonly response: string
  readonly principle: Principle
  readonly critique: string
  readonly revision: string
}

/**
 * Constitutional AI's supervised stage: the model answers, finds what in its answer goes against a principle, and answers
 * again without it. The revisions are demonstrations; each is better than its first answer, which makes pairs.
 *
 * @returns a revision for each prompt that has one; an empty one teaches nothing
 * @see Bai et al. 2022, §3, https://arxiv.org/abs/2212.08073
 */
export const critiqueAndRevise = Effect.fn("critiqueAndRevise")(function* (
  prompts: ReadonlyArray<NumberedPrompt>,
  principles: ReadonlyArray<Principle>,
  options: ConverseOptions
) {
  const numbers = prompts.map(({ number }) => number)
  const chosen = numbers.map((number) => drawn(principles, options.seed, number))
  const chats = prompts.map(({ messages }) => [...messages])
  const turns: Array<ReadonlyArray<string>> = []
  for (const ask of [undefined, "critique", "revision"] as const) {
    if (ask !== undefined) chats.forEach((chat, i) => chat.push({ role: "user", content: chosen[i]![ask] }))
    const said = yield* nextTurns(chats, numbers, turns.length, options)
    chats.forEach((chat, i) => chat.push({ role: "assistant", content: said[i]! }))
    turns.push(said)
  }
  const revised = prompts.map((prompt, i): Revised => ({
    ...prompt,
    principle: chosen[i]!,
    response: turns[0]![i]!,
    critique: turns[1]![i]!,
    revision: turns[2]![i]!
  }))
  return revised.filter(({ revision }) => revision !== "")
})
