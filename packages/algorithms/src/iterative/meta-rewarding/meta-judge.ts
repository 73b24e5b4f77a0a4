import type { Message } from "@plumbline/data"
import type { JudgedResponse, RewardGroup, VerdictReader } from "@plumbline/reward-model"
import { Effect } from "effect"
import type { ResponseOptions } from "../../responses/responses.ts"
import { askModel } from "./ask-model.ts"
import type { Contest } from "./contest.ts"

/** How the model compares two judgements of a response. */
export interface MetaJudgeWords {
  readonly ask: (group: RewardGroup, response: JudgedResponse, first: string, second: string) => ReadonlyArray<Message>
  readonly read: VerdictReader
}

/** A comparison of judgements `first` and `second`, read in this order. */
export interface Battle {
  readonly contest: number
  readonly first: number
  readonly second: number
  /** Share of it that the first wins; undefined where the verdict could not be read. */
  readonly verdict: number | undefined
}

/** Compares every two judgements of each contest in both orders. */
export const fightBattles = Effect.fnUntraced(function* (
  contests: ReadonlyArray<Contest>,
  step: number,
  { ask, read }: MetaJudgeWords,
  options: Omit<ResponseOptions, "samples">
) {
  const battles = contests.flatMap(({ judgements }, contest) =>
    judgements.flatMap((_, first) =>
      judgements.flatMap((__, second) => (first === second ? [] : [{ contest, first, second }]))
    )
  )
  const questions = battles.map(({ contest, first, second }) => {
    const { group, judgements, response } = contests[contest]!
    return ask(group, response, judgements[first]!.text, judgements[second]!.text)
  })
  const said = yield* askModel(questions, step, { ...options, samples: 1 })
  return battles.map((battle, i): Battle => ({ ...battle, verdict: said[i]!.map(({ text }) => read(text))[0] }))
})

/**
 * Battle matrices of the contests, [contests][n][n]: what m won against n, each win weighed by how rarely its place wins,
 *
 *   ω_first = wins of the second / all,   ω_second = wins of the first / all
 *
 * counted over all battles given: a liking for a place cancels, and a meta-judge that always names one says nothing.
 */
export const battleMatrices = (
  contests: ReadonlyArray<Contest>,
  battles: ReadonlyArray<Battle>
): ReadonlyArray<ReadonlyArray<ReadonlyArray<number>>> => {
  const matrices = contests.map(({ judgements }) => judgements.map(() => judgements.map(() => 0)))
  const decided = battles.flatMap(({ verdict, ...battle }) => (verdict === undefined ? [] : [{ ...battle, verdict }]))
  const firstWins = decided.reduce((sum, { verdict }) => sum + verdict, 0) / Math.max(1, decided.length)
  for (const { contest, first, second, verdict } of decided) {
    matrices[contest]![first]![second]! += (1 - firstWins) * verdict
    matrices[contest]![second]![first]! += firstWins * (1 - verdict)
  }
  return matrices
}

/** Asks for `[[A]]`, `[[B]]`, or `[[C]]` for a tie. */
export const askForBetterJudgement: MetaJudgeWords["ask"] = ({ answer, prompt }, { text }, first, second) => [
  {
    role: "user",
    content: [
      "Which judgement of the response is the more accurate one? The order in which they stand and their length do not count.",
      "Explain in one sentence, then end with [[A]], [[B]], or [[C]] where neither is.",
      `\n[Request]\n${prompt.text}`,
      ...(answer === undefined ? [] : [`\n[Right answer]\n${answer}`]),
      `\n[Response]\n${text}`,
      `\n[Judgement A]\n${first}`,
      `\n[Judgement B]\n${second}`
    ].join("\n")
  }
]
