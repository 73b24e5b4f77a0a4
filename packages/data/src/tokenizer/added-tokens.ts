import type { AddedToken } from "./definition.ts"

/** A stretch of text: an added token (`id`), or text between them (`id` undefined). */
export interface Segment {
  readonly text: string
  readonly id: number | undefined
  /** Index of its first character. */
  readonly start: number
}

export type Splitter = (text: string) => ReadonlyArray<Segment>

/**
 * Cuts a text at added tokens as the Rust tokenizers do: leftmost match, the longest of those, then
 * `single_word`, `lstrip` and `rstrip`. Empty stretches are left out.
 *
 * @param contents the text each token matches as, in the order of `tokens`
 */
export const addedTokenSplitter = (
  tokens: ReadonlyArray<AddedToken>,
  contents: ReadonlyArray<string> = tokens.map((token) => token.content)
): Splitter => {
  const candidates = byFirstCharacter(tokens, contents)
  if (candidates.size === 0) return (text) => (text === "" ? [] : [{ text, id: undefined, start: 0 }])
  return (text) => {
    const segments: Array<Segment> = []
    let done = 0
    const push = (from: number, to: number, id: number | undefined) => {
      if (from < to) segments.push({ text: text.slice(from, to), id, start: from })
    }
    for (let at = 0; at < text.length; at++) {
      const found = candidates.get(text[at]!)?.find(({ content }) => text.startsWith(content, at))
      if (found === undefined) continue
      const end = at + found.content.length
      const span = matchedSpan(found.token, text, at, end, done)
      if (span !== undefined) {
        push(done, span.from, undefined)
        push(span.from, span.to, found.token.id)
        done = span.to
      }
      at = end - 1
    }
    push(done, text.length, undefined)
    return segments
  }
}

interface Candidate {
  readonly token: AddedToken
  readonly content: string
}

const byFirstCharacter = (
  tokens: ReadonlyArray<AddedToken>,
  contents: ReadonlyArray<string>
): ReadonlyMap<string, ReadonlyArray<Candidate>> => {
  const candidates = tokens
    .map((token, i) => ({ token, content: contents[i]! }))
    .filter(({ content }) => content !== "")
    .toSorted((a, b) => b.content.length - a.content.length)
  return Map.groupBy(candidates, ({ content }) => content[0]!)
}

const WORD_BEFORE = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u200c\u200d]$/u
const WORD_AFTER = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u200c\u200d]/u
const SPACE = /\p{White_Space}/u

const matchedSpan = (token: AddedToken, text: string, at: number, end: number, done: number) => {
  const touchesWord = () =>
    WORD_BEFORE.test(text.slice(Math.max(0, at - 2), at)) || WORD_AFTER.test(text.slice(end, end + 2))
  if (token.single_word === true && touchesWord()) return undefined
  let [from, to] = [at, end]
  if (token.lstrip === true) while (from > 0 && SPACE.test(text[from - 1]!)) from--
  if (token.rstrip === true) while (to < text.length && SPACE.test(text[to]!)) to++
  return { from: Math.max(from, done), to }
}
