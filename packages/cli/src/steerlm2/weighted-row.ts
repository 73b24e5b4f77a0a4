import { attributeLabel } from "@plumbline/algorithms"
import type { Conversation, Message } from "@plumbline/data"
import type { Answer, Weighed } from "./weigh-responses.ts"

/** A row of `plumb steerlm2`: a prompt, its label, and its responses with their log-probs, in NeMo-Aligner's words. */
export const weightedRow = (
  names: ReadonlyArray<string>,
  answers: ReadonlyArray<Answer>,
  weighed: ReadonlyArray<Weighed>
) => ({
  ...promptFields(answers[0]!.prompt),
  label: attributeLabel(names, answers[0]!.grades).trimEnd(),
  responses: answers.map(({ response }, i) => ({
    from: "Assistant",
    value: response,
    "log(P(a|x,y))": weighed[i]!.grade,
    "log(P(y|x))": weighed[i]!.base,
    "log(Q(y|a,x))": weighed[i]!.policy
  }))
})

const promptFields = (prompt: Conversation) => {
  if (typeof prompt === "string") return { prompt }
  const [first, ...rest] = prompt
  return first?.role === "system"
    ? { system: first.content, prompt_turns: rest.map(turn) }
    : { prompt_turns: prompt.map(turn) }
}

const NAMES: Readonly<Record<string, string>> = { user: "User", assistant: "Assistant" }

const turn = ({ content, role }: Message) => ({ from: NAMES[role] ?? role, value: content })
