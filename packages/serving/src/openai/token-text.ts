import type { TokenizerShape } from "@plumbline/data"

/** Single tokens as clients read them. */
export interface TokenWords {
  /** As it stands inside a text. */
  readonly text: (id: number) => string
  /** UTF-8 of the text, or of a token that is no text by itself its bytes: clients put characters together from them. */
  readonly bytes: (id: number) => ReadonlyArray<number>
}

const known = new WeakMap<TokenizerShape, TokenWords>()

/** Special tokens have their names; a token of half a character is U+FFFD. Each is worked out once for all requests. */
export const tokenWords = (tokenizer: TokenizerShape): TokenWords => {
  const words = known.get(tokenizer) ?? wordsOf(tokenizer)
  known.set(tokenizer, words)
  return words
}

const wordsOf = ({ decode, tokenBytes }: TokenizerShape): TokenWords => {
  // twice, and the first one cut off: decoders drop the space before a first word
  const text = remembered((id) => decode([id, id]).slice(decode([id]).length))
  const bytes = remembered((id): ReadonlyArray<number> => [
    ...((text(id).includes("\uFFFD") ? tokenBytes(id) : undefined) ?? utf8.encode(text(id)))
  ])
  return { text, bytes }
}

const utf8 = new TextEncoder()

/** At most as many as the vocabulary has. */
const remembered = <A>(make: (id: number) => A): ((id: number) => A) => {
  const made = new Map<number, A>()
  return (id) => {
    const found = made.get(id)
    if (found !== undefined) return found
    const fresh = make(id)
    made.set(id, fresh)
    return fresh
  }
}

const idText = (id: number): string => `token_id:${id}`

/** Instead of texts, where a client asks for ids: `token_id:42`. */
export const idWords: TokenWords = { text: idText, bytes: (id) => [...utf8.encode(idText(id))] }
