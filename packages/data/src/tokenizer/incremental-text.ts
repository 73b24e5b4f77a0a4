import type { DecodeOptions, TokenizerShape } from "./tokenizer.ts"

/** The text of tokens that come one after the other. */
export interface IncrementalText {
  /** @returns text that this token completes; bytes of an unfinished character wait for the others */
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
/** Bytes at the end that may yet become a character. */
const BROKEN_END = /\uFFFD+$/

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
  // characters of the fresh tokens that have been told
  let shown = 0
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
    const rest = text.slice(shown)
    if (text !== "") [told, fresh, shown] = [fresh, [], 0]
    return rest
  }
  return {
    push: (id) => {
      fresh.push(id)
      const text = pending()
      if (text === "" || mayChange()) return ""
      const whole = text.replace(BROKEN_END, "")
      if (whole === text) return settle(text)
      const part = whole.slice(shown)
      shown = Math.max(shown, whole.length)
      return part
    },
    flush: () => settle(pending())
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
