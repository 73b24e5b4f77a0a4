import type { TokenizerShape } from "@plumbline/data"
import type { GeneratedResponse } from "./request.ts"

/** The text of a response as people read it: without special tokens, cut before the stop string that ended it. */
export const responseText = (
  tokenizer: Pick<TokenizerShape, "decode">,
  { responseIds, stop }: Pick<GeneratedResponse, "responseIds" | "stop">
): string => {
  const options = { skipSpecialTokens: true }
  const text = tokenizer.decode(responseIds, options)
  if (stop?.kind !== "string") return text
  // the first one that ends in the last token: that may hold several, and earlier ones came too early to end it
  const before = sharedLength(tokenizer.decode(responseIds.subarray(0, -1), options).replace(BROKEN_END, ""), text)
  const end = text.indexOf(stop.text, Math.max(0, before - stop.text.length + 1))
  return end < 0 ? text : text.slice(0, end)
}

/** Bytes that the last token may make a character of, or not. */
const BROKEN_END = /\uFFFD+$/

const sharedLength = (a: string, b: string): number => {
  let length = 0
  while (length < a.length && a[length] === b[length]) length++
  return length
}
