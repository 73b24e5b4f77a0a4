import type { Message } from "../records/records.ts"

const TURN = /(?:^|\n\n)(Human|Assistant):[ \t]?/g

/**
 * The turns of a transcript as Anthropic writes it: `\n\nHuman: …\n\nAssistant: …`. Turns of one side that follow each other
 * are one turn, so that sides take turns, as chat templates want it. An empty last turn of the assistant, where the
 * transcript is a prompt, is none.
 */
export const transcriptTurns = (text: string): ReadonlyArray<Message> => {
  const marks = [...text.matchAll(TURN)]
  const turns: Array<Message> = []
  marks.forEach((mark, i) => {
    const role = mark[1] === "Human" ? "user" : "assistant"
    const content = text.slice(mark.index + mark[0].length, marks[i + 1]?.index ?? text.length).trim()
    const before = turns.at(-1)
    if (content === "") return
    if (before?.role === role) turns[turns.length - 1] = { role, content: `${before.content}\n\n${content}` }
    else turns.push({ role, content })
  })
  return turns
}
