import { Schema } from "effect"
import { form } from "../records/forms.ts"
import { extractPrompt } from "../records/implicit-prompt.ts"
import type { Message } from "../records/records.ts"
import { type Converter, type Made, rowByRow } from "./converter.ts"
import { transcriptTurns } from "./transcript.ts"

const isAnswer = (turns: ReadonlyArray<Message>): boolean => turns.length === 1 && turns[0]!.role === "assistant"

const pair = form({ chosen: Schema.String, rejected: Schema.String }, {}, (row): Made => {
  if (row.chosen === row.rejected) return "both sides are the same"
  const [better, worse] = [transcriptTurns(row.chosen), transcriptTurns(row.rejected)]
  const { chosen, prompt, rejected } = extractPrompt(better, worse) as Readonly<Record<string, ReadonlyArray<Message>>>
  if (prompt!.length === 0) return "the sides have no turn in common"
  if (!isAnswer(chosen!) || !isAnswer(rejected!)) return "the sides do not differ in one last answer alone"
  return [{ prompt: prompt!, chosen: chosen!, rejected: rejected! }]
})

export const anthropicHh: Converter = {
  name: "anthropic-hh",
  summary: "Anthropic/hh-rlhf: two transcripts that differ in their last answer",
  makes: { preferences: rowByRow(pair) }
}
