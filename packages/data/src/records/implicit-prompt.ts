import type { Conversation, Message } from "./records.ts"

/**
 * Splits two conversations that begin alike into the shared prompt and what each goes on with.
 *
 * Strings are cut at the last whitespace of their common prefix, so no word is torn; a space goes with the word
 * after it, as byte-level vocabularies have it, a newline stays with the prompt. Messages are cut after the last
 * leading message that both share.
 */
export const extractPrompt = (
  chosen: Conversation,
  rejected: Conversation
): { prompt: Conversation; chosen: Conversation; rejected: Conversation } => {
  const cut =
    typeof chosen === "string" && typeof rejected === "string"
      ? textBoundary(chosen, rejected)
      : messageBoundary(chosen as ReadonlyArray<Message>, rejected as ReadonlyArray<Message>)
  return { prompt: chosen.slice(0, cut), chosen: chosen.slice(cut), rejected: rejected.slice(cut) }
}

const textBoundary = (chosen: string, rejected: string): number => {
  const end = Math.min(chosen.length, rejected.length)
  let common = 0
  while (common < end && chosen[common] === rejected[common]) common++
  // the whitespace before a word that starts exactly where the texts part also ends the prompt
  for (let cut = common; cut > 0; cut--) {
    if (!/\s/.test(chosen[cut - 1]!)) continue
    return chosen[cut - 1] === " " ? cut - 1 : cut
  }
  return 0
}

const messageBoundary = (chosen: ReadonlyArray<Message>, rejected: ReadonlyArray<Message>): number => {
  const parted = chosen.findIndex(
    (message, i) => message.role !== rejected[i]?.role || message.content !== rejected[i]?.content
  )
  return parted === -1 ? chosen.length : parted
}
