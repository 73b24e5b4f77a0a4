import type { DecodeOptions, TokenizerShape } from "./tokenizer.ts"

/** The text of tokens that come one after the other. */
export interface IncrementalText {
  /** @returns text that this token completes: nothing while a character lacks bytes */
  readonly push: (id: number) => string
  /** @returns what is left, bytes that never became a character included */
  readonly flush: () => string
}

export interface IncrementalOptions extends DecodeOptions {
  /**
   * Tells no text that a later token could still change: in vocabularies with byte fallback, a broken byte undoes the
   * bytes before it. Default false.
   */
  readonly settled?: boolean
}

const BROKEN = "\uFFFD"

/**
 * Decodes token by token, in time that does not grow with the text. All that `push` and then `flush` return, joined,
 * is what `decode` makes of the whole list; with `settled`, even where byte fallback meets broken bytes.
 */
export const incrementalText = (
  tokenizer: Pick<TokenizerShape, "decode"> & Partial<Pick<TokenizerShape, "vocabSize">>,
  { settled = false, ...options }: IncrementalOptions = {}
): IncrementalText => {
  const breaker = settled ? brokenToken(tokenizer) : undefined
  // tokens already told, kept because decoders look back: at a leading space, at the bytes of a character
  let told: Array<number> = []
  let fresh: Array<number> = []
  const pending = (): string => {
    const before = tokenizer.decode(told, options)
    return tokenizer.decode([...told, ...fresh], options).slice(before.length)
  }
  const mayChange = (): boolean => {
    if (breaker === undefined) return false
    const ids = [...told, ...fresh]
    return !tokenizer.decode([...ids, breaker], options).startsWith(tokenizer.decode(ids, options))
  }
  const settle = (text: string): string => {
    told = fresh
    fresh = []
    return text
  }
  return {
    push: (id) => {
      fresh.push(id)
      const text = pending()
      return text === "" || text.endsWith(BROKEN) || mayChange() ? "" : settle(text)
    },
    flush: () => (fresh.length === 0 ? "" : settle(pending()))
  }
}

const breakers = new WeakMap<TokenizerShape["decode"], number | undefined>()

/** The first token that is no character by itself; undefined where every token is text. */
const brokenToken = ({ decode, vocabSize = 0 }: Parameters<typeof incrementalText>[0]): number | undefined => {
  if (!breakers.has(decode)) {
    let id = 0
    while (id < vocabSize && decode([id]) !== BROKEN) id++
    breakers.set(decode, id < vocabSize ? id : undefined)
  }
  return breakers.get(decode)
}
