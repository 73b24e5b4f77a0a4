import type { TokenizerShape } from "@plumbline/data"
import type { TokenLogProb } from "@plumbline/rollout-generation"
import type { TokenText } from "./token-text.ts"

/** A token of an answer with its log-prob under the policy itself, nats. */
export interface ScoredToken extends TokenLogProb {
  /** Empty where nobody asked. */
  readonly top: ReadonlyArray<TokenLogProb>
  /** Place in the text of its response, or of its prompt, at which it starts; code points. */
  readonly offset: number
}

/** Least log-prob that is sent: JSON has no −∞. */
const LEAST = -9999

const finite = (logProb: number): number => Math.max(logProb, LEAST)

/** `logprobs` of a completion. A token without a log-prob, the first one of a prompt, has null. */
export const completionLogProbs = (tokens: ReadonlyArray<ScoredToken>, tokenText: TokenText, shift = 0) => ({
  tokens: tokens.map(({ id }) => tokenText(id)),
  token_logprobs: tokens.map(({ logProb }) => (Number.isNaN(logProb) ? null : finite(logProb))),
  top_logprobs: tokens.map((token) => (Number.isNaN(token.logProb) ? null : topByText(token, tokenText))),
  text_offset: tokens.map(({ offset }) => offset + shift)
})

/** The alternatives; the token itself has one number, though the device and the host round it apart. */
const topOf = ({ id, logProb, top }: ScoredToken): ReadonlyArray<TokenLogProb> =>
  top.map((other) => (other.id === id ? { id, logProb } : other))

/** The most likely tokens, and the token itself where it is not among them; of two with one text the likelier. */
const topByText = (token: ScoredToken, tokenText: TokenText): Record<string, number> => {
  const top = new Map<string, number>()
  for (const { id, logProb } of [...topOf(token), token]) {
    const text = tokenText(id)
    if (!top.has(text)) top.set(text, finite(logProb))
  }
  return Object.fromEntries(top)
}

/** `logprobs` of a chat. */
export const chatLogProbs = (tokens: ReadonlyArray<ScoredToken>, words: TokenWords) => ({
  content: tokens.map((token) => ({
    ...chatToken(token, words),
    top_logprobs: topOf(token).map((other) => chatToken(other, words))
  })),
  refusal: null
})

/** Tokens one by one: their texts, and the bytes of those that are no text. */
interface TokenWords {
  readonly tokenText: TokenText
  readonly tokenBytes: TokenizerShape["tokenBytes"]
}

const utf8 = new TextEncoder()

const chatToken = ({ id, logProb }: TokenLogProb, { tokenBytes, tokenText }: TokenWords) => {
  const token = tokenText(id)
  // part of a character, which a client puts together from the bytes of its tokens
  const bytes = token.includes("\uFFFD") ? tokenBytes(id) : undefined
  return { token, logprob: finite(logProb), bytes: [...(bytes ?? utf8.encode(token))] }
}
