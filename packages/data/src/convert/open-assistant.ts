import type { Message, Origin } from "../records/records.ts"
import { type Conversion, type Converter, gathered, type Made } from "./converter.ts"
import { conversationTrees, type TreeMessage } from "./open-assistant-tree.ts"
import { bestAgainstWorst } from "./ranked-pairs.ts"

/** Labels of reviewers that SteerLM conditions on, and the largest grade, which 1 becomes. */
export const OPEN_ASSISTANT_ATTRIBUTES = ["quality", "toxicity", "humor", "creativity"] as const
const TOP_GRADE = 4

/** A question with the turns before it, and its answers. */
interface Branching {
  readonly prompt: ReadonlyArray<Message>
  readonly answers: ReadonlyArray<TreeMessage>
}

/** Every question of a tree that has usable answers; threads end at what is deleted or was refused by reviewers. */
const branchings = (node: TreeMessage, before: ReadonlyArray<Message> = []): ReadonlyArray<Branching> => {
  if (!node.usable) return []
  const thread = [...before, node.message]
  const replies = node.replies.filter(({ usable }) => usable)
  const own = node.message.role === "user" && replies.length > 0 ? [{ prompt: thread, answers: replies }] : []
  return [...own, ...replies.flatMap((reply) => branchings(reply, thread))]
}

const byBranching =
  (make: (branching: Branching) => ReadonlyArray<Made>): Conversion =>
  (rows) => {
    const all: Array<{ readonly origin: Origin; readonly made: Made }> = []
    for (const { origin, root } of conversationTrees(rows)) {
      const found = branchings(root)
      if (found.length === 0) all.push({ origin, made: "no question with a usable answer" })
      for (const branching of found) all.push(...make(branching).map((made) => ({ origin, made })))
    }
    return gathered(all)
  }

const best = ({ answers }: Branching): TreeMessage => answers.find(({ rank }) => rank === 0) ?? answers[0]!

const completion = ({ prompt }: Branching, { message }: TreeMessage) => ({ prompt, completion: [message] })

const attributes = ({ labels }: TreeMessage): Readonly<Record<string, number>> =>
  Object.fromEntries(
    OPEN_ASSISTANT_ATTRIBUTES.flatMap((name) => {
      const label = labels[name]
      return label === undefined ? [] : [[name, Math.round(label * TOP_GRADE)]]
    })
  )

const labelled = (branching: Branching): ReadonlyArray<Made> =>
  branching.answers.map((answer): Made => {
    const grades = attributes(answer)
    return Object.keys(grades).length === 0
      ? "an answer has no labels"
      : [{ ...completion(branching, answer), ...grades }]
  })

const ranked = ({ answers, prompt }: Branching): ReadonlyArray<Made> => {
  const known = answers.flatMap(({ message, rank }) =>
    rank === undefined ? [] : [{ content: message.content, score: -rank }]
  )
  return [bestAgainstWorst(prompt, known, false)]
}

export const openAssistant: Converter = {
  name: "open-assistant",
  summary: "OpenAssistant/oasst1 and oasst2: conversation trees, nested or a message a row",
  makes: {
    demonstrations: byBranching((branching) => [[completion(branching, best(branching))]]),
    attributes: byBranching(labelled),
    preferences: byBranching(ranked)
  }
}
