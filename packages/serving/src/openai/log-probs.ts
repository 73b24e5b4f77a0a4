import type { TokenLogProb } from "@plumbline/rollout-generation"
import { lazyMap } from "../shell/json-texts.ts"
import type { TokenWords } from "./token-text.ts"

/** A token of an answer with its log-prob under the policy itself, nats. */
export interface ScoredToken extends TokenLogProb {
  /** Empty where nobody asked. */
  readonly top: ReadonlyArray<TokenLogProb>
}

/** Least log-prob that is sent: JSON has no −∞. */
const LEAST = -9999

const finite = (logProb: number): number => Math.max(logProb, LEAST)

/**
 * `logprobs` of a completion. A token without a log-prob, the first one of a prompt, has null.
 *
 * @param offsets of each token the place in the choice's text at which it starts; code points
 */
export const completionLogProbs = (
  tokens: Iterable<ScoredToken>,
  offsets: Iterable<number>,
  { text }: Pick<TokenWords, "text">
) => ({
  tokens: lazyMap(tokens, ({ id }) => text(id)),
  token_logprobs: lazyMap(tokens, ({ logProb }) => (Number.isNaN(logProb) ? null : finite(logProb))),
  top_logprobs: lazyMap(tokens, (token) => (Number.isNaN(token.logProb) ? null : topByText(token, text))),
  text_offset: lazyMap(offsets, (offset) => offset)
})

/** The alternatives; the token itself has one number, though the device and the host round it apart. */
const topOf = ({ id, logProb, top }: ScoredToken): ReadonlyArray<TokenLogProb> =>
  top.map((other) => (other.id === id ? { id, logProb } : other))

/** The most likely tokens, and the token itself where it is not among them; of two with one text the likelier. */
const topByText = (token: ScoredToken, textOf: TokenWords["text"]): Record<string, number> => {
  const top = new Map<string, number>()
  for (const { id, logProb } of [...topOf(token), token]) {
    const text = textOf(id)
    if (!top.has(text)) top.set(text, finite(logProb))
  }
  return Object.fromEntries(top)
}

/** `logprobs` of a chat. */
export const chatLogProbs = (tokens: Iterable<ScoredToken>, words: TokenWords) => ({
  content: lazyMap(tokens, (token) => ({
    ...chatToken(token, words),
    top_logprobs: topOf(token).map((other) => chatToken(other, words))
  })),
  refusal: null
})

const chatToken = ({ id, logProb }: TokenLogProb, { bytes, text }: TokenWords) => ({
  token: text(id),
  logprob: finite(logProb),
  bytes: bytes(id)
})
