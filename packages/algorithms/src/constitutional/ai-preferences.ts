import { type Message, Tokenizer } from "@plumbline/data"
import { pairwiseJudge, type RewardGroup } from "@plumbline/reward-model"
import type { GeneratorShape, SamplingOptions } from "@plumbline/rollout-generation"
import { Effect } from "effect"
import { drawn } from "./constitution.ts"
import { type ConverseOptions, nextTurns } from "./converse.ts"
import type { NumberedPrompt } from "./critique-revision.ts"

export interface AiPreferenceOptions extends ConverseOptions {
  /** One candidate each. */
  readonly temperatures: ReadonlyArray<number>
  /** Compares candidates: the model itself, or a better one behind a service. */
  readonly judge: GeneratorShape
  readonly judgeSampling?: SamplingOptions
}

export interface AiPreference extends NumberedPrompt {
  readonly chosen: string
  readonly rejected: string
  /** Shares of the comparisons that each won. */
  readonly chosenShare: number
  readonly rejectedShare: number
}

/**
 * Preferences by a constitution: candidates of several temperatures, compared two by two, in both orders, by a judge that
 * is told a principle. The best and the worst make a pair; a prompt whose candidates the judge cannot tell apart makes none. An
 * empty candidate is in no pair.
 *
 * @returns a pair for each prompt that has one
 * @see Bai et al. 2022, §4, https://arxiv.org/abs/2212.08073
 */
export const aiPreferences = Effect.fn("aiPreferences")(function* (
  prompts: ReadonlyArray<NumberedPrompt>,
  principles: ReadonlyArray<string>,
  { judge, judgeSampling, sampling, seed, temperatures }: AiPreferenceOptions
) {
  const numbers = prompts.map(({ number }) => number)
  const chats = prompts.map(({ messages }) => messages)
  const candidates = yield* Effect.forEach(temperatures, (temperature, turn) =>
    nextTurns(chats, numbers, turn, { seed, sampling: { ...sampling, temperature } })
  )
  const { judge: compare } = pairwiseJudge({
    generator: judge,
    tokenizer: yield* Tokenizer,
    unreadable: "abstain",
    ...(judgeSampling === undefined ? {} : { sampling: judgeSampling }),
    ask: ({ row, prompt }, first, second) =>
      askByPrinciple(drawn(principles, seed, Number(row)), prompt.text, first.text, second.text)
  })
  const judged = yield* compare(
    prompts.map(({ messages, number }, i): RewardGroup => ({
      row: String(number),
      prompt: { ids: new Int32Array(0), text: transcript(messages), messages },
      responses: candidates.map((said) => ({ ids: new Int32Array(0), text: said[i]! }))
    }))
  )
  return prompts.flatMap((prompt, i): ReadonlyArray<AiPreference> => {
    const shares = judged[i]!.responses.map(({ reward }) => reward)
    return pairOf(
      prompt,
      candidates.map((said) => said[i]!),
      shares
    )
  })
})

const pairOf = (
  prompt: NumberedPrompt,
  texts: ReadonlyArray<string>,
  shares: ReadonlyArray<number | undefined>
): ReadonlyArray<AiPreference> => {
  const known = shares.flatMap((share, i) =>
    share === undefined || texts[i] === "" ? [] : [{ share, text: texts[i]! }]
  )
  if (known.length < 2) return []
  const best = known.reduce((a, b) => (b.share > a.share ? b : a))
  const worst = known.reduce((a, b) => (b.share < a.share ? b : a))
  if (best.share === worst.share || best.text === worst.text) return []
  return [{ ...prompt, chosen: best.text, rejected: worst.text, chosenShare: best.share, rejectedShare: worst.share }]
}

const transcript = (messages: ReadonlyArray<Message>): string =>
  messages.length === 1 ? messages[0]!.content : messages.map(({ content, role }) => `${role}: ${content}`).join("\n")

const askByPrinciple = (principle: string, question: string, first: string, second: string): ReadonlyArray<Message> => [
  {
    role: "user",
    content: [
      `Which response follows this principle better? ${principle}`,
      "The order in which they stand does not count. Answer with one of [[A]], [[B]], or [[C]] where neither does.",
      `\n[Request]\n${question}`,
      `\n[Response A]\n${first}`,
      `\n[Response B]\n${second}`
    ].join("\n")
  }
]
