import type { TokenizerShape } from "@plumbline/data"

/** The text of single tokens, as it stands inside a text. */
export type TokenText = (id: number) => string

/** Special tokens have their names; a token of half a character is U+FFFD. */
export const tokenTexts = ({ decode }: TokenizerShape): TokenText => {
  const known = new Map<number, string>()
  return (id) => {
    let text = known.get(id)
    if (text === undefined) {
      // twice, and the first one cut off: decoders drop the space before a first word
      text = decode([id, id]).slice(decode([id]).length)
      known.set(id, text)
    }
    return text
  }
}

/** Instead of texts, where a client asks for ids: `token_id:42`. */
export const idTexts: TokenText = (id) => `token_id:${id}`
