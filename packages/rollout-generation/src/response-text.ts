import type { TokenizerShape } from "@plumbline/data"
import type { GeneratedResponse } from "./request.ts"

/** The text of a response as people read it: without special tokens, cut before the stop string that ended it. */
export const responseText = (
  tokenizer: Pick<TokenizerShape, "decode">,
  { responseIds, stop }: Pick<GeneratedResponse, "responseIds" | "stop">
): string => {
  const text = tokenizer.decode(responseIds, { skipSpecialTokens: true })
  const end = stop?.kind === "string" ? text.lastIndexOf(stop.text) : -1
  return end < 0 ? text : text.slice(0, end)
}
