import { incrementalText, type TokenizerShape } from "@plumbline/data"
import { LazyList } from "../shell/json-texts.ts"

/** Characters of a text as Python, and so OpenAI, counts them: one for an emoji. */
export const codePoints = (text: string): number => {
  let count = 0
  for (const _ of text) count++
  return count
}

/** Tokens one after the other, and for each the place in their joined text at which it starts, in code points. */
export const tokenOffsets = (
  tokenizer: Pick<TokenizerShape, "decode">,
  skipSpecialTokens: boolean
): ((id: number) => number) => {
  const text = incrementalText(tokenizer, { skipSpecialTokens })
  let length = 0
  return (id) => {
    const offset = length
    length += codePoints(text.push(id))
    return offset
  }
}

/**
 * The same for a whole list, worked out as far as somebody has read, once for all who read it.
 *
 * @param from the first that is a part of the text; those before it start where the text does
 */
export const rememberedOffsets = (
  tokenizer: Pick<TokenizerShape, "decode">,
  skipSpecialTokens: boolean,
  ids: Int32Array,
  from = 0
): LazyList<number> => {
  const offset = tokenOffsets(tokenizer, skipSpecialTokens)
  const known: Array<number> = []
  return new LazyList(function* () {
    for (let t = 0; t < ids.length; t++) {
      if (t === known.length) known.push(t < from ? 0 : offset(ids[t]!))
      yield known[t]!
    }
  })
}
