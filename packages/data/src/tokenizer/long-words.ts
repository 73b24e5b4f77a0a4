import type { Engine } from "./engines.ts"
import { compile } from "./pre-tokenizers.ts"

/**
 * The longest word that tiktoken is given, in UTF-16 units: the time it takes grows with the square of the length, and
 * at a million it breaks.
 */
const LONGEST = 1024

/**
 * An engine's `encode` that leaves texts with a very long word, such as kilobytes of spaces or of base64, to another engine.
 *
 * @param pattern cuts a text into words
 * @param other   gives the same ids
 */
export const sparingLongWords = (
  encode: Engine["encode"],
  pattern: string,
  other: Engine["encode"]
): Engine["encode"] => {
  let longWord: ((text: string) => boolean) | undefined
  return (text, first) => {
    if (text.length <= LONGEST) return encode(text, first)
    longWord ??= longWordIn(pattern)
    return longWord(text) ? other(text, first) : encode(text, first)
  }
}

const longWordIn = (pattern: string) => {
  const words = compile({ Regex: pattern })
  return (text: string): boolean => {
    if (typeof words === "string") return false
    for (const [word] of text.matchAll(words)) if (word.length > LONGEST) return true
    return false
  }
}
