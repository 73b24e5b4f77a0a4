import type { DecodeOptions, TokenizerShape } from "./tokenizer.ts"

/** The text of tokens that come one after the other. */
export interface IncrementalText {
  /** @returns text that this token completes: nothing while a character lacks bytes */
  readonly push: (id: number) => string
  /** @returns what is left, bytes that never became a character included */
  readonly flush: () => string
}

const BROKEN = "\uFFFD"

/**
 * Decodes token by token, in time that does not grow with the text. All that `push` and then `flush` return, joined,
 * is what `decode` makes of the whole list.
 */
export const incrementalText = (
  tokenizer: Pick<TokenizerShape, "decode">,
  options: DecodeOptions = {}
): IncrementalText => {
  // tokens already told, kept because decoders look back: at a leading space, at the bytes of a character
  let told: Array<number> = []
  let fresh: Array<number> = []
  const pending = (): string => {
    const before = tokenizer.decode(told, options)
    return tokenizer.decode([...told, ...fresh], options).slice(before.length)
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
      return text === "" || text.endsWith(BROKEN) ? "" : settle(text)
    },
    flush: () => (fresh.length === 0 ? "" : settle(pending()))
  }
}
