import type { Message } from "@plumbline/data"
import { Effect } from "effect"
import type { JudgedResponse, RewardGroup } from "../reward-request.ts"
import { judgement, type RewardShape } from "../reward-shape.ts"
import { askJudge, type JudgeOptions, type JudgeQuestion, readTexts } from "./ask-judge.ts"
import { bracketedVerdict, type VerdictReader } from "./verdict.ts"

/** Which response of a pair the judge reads first: the one that stands first in the group, or the other. */
export type Order = "given" | "swapped"

export interface PairwiseJudgeOptions extends JudgeOptions {
  /** "judge" when absent. */
  readonly name?: string
  readonly weight?: number
  /** One question to the judge each; both orders when absent, so that a liking for the first or the second cancels. */
  readonly orders?: ReadonlyArray<Order>
  /** What the judge is told; asks for one of `[[A>>B]]`, `[[A>B]]`, `[[A=B]]`, … when absent. */
  readonly ask?: (group: RewardGroup, first: JudgedResponse, second: JudgedResponse) => ReadonlyArray<Message>
  /** How its text is read; `bracketedVerdict` when absent. */
  readonly read?: VerdictReader
}

/** A question about a pair of a group. */
interface Comparison extends JudgeQuestion {
  readonly group: number
  readonly pair: readonly [number, number]
  readonly order: Order
}

/**
 * A language model that compares every two responses of a group. The reward of a response is the share of its comparisons
 * that it wins, a tie half of one; it abstains where one of them could not be read. A response alone gets ½.
 *
 * Of a judge that only names a winner, two orders that disagree are a tie; one that gives degrees is corrected, for its liking
 * of a place adds to one order what it takes from the other.
 */
export const pairwiseJudge = (options: PairwiseJudgeOptions): RewardShape => {
  const {
    ask = askForVerdict,
    name = "judge",
    orders = ["given", "swapped"],
    read = bracketedVerdict,
    weight = 1
  } = options
  if (orders.length === 0) throw new RangeError("a pair is compared at least once")
  return {
    parts: [{ name, weight }],
    judge: Effect.fn("pairwiseJudge")(function* (groups: ReadonlyArray<RewardGroup>) {
      const comparisons = groups.flatMap((group, g) => comparisonsOf(group, g, orders, ask))
      const texts = yield* askJudge(name, comparisons, options)
      const verdicts = yield* readTexts(name, comparisons, texts, read, options)
      const shares = groups.map(({ responses }) => responses.map((): Array<number | undefined> => []))
      comparisons.forEach(({ group, order, pair }, i) => {
        const first = shareOfFirst(verdicts[i], order)
        shares[group]![pair[0]]!.push(first)
        shares[group]![pair[1]]!.push(first === undefined ? undefined : 1 - first)
      })
      return shares.map((group) => ({
        responses: group.map((won) => {
          const value = mean(won)
          return judgement([{ name, weight, raw: value, value }])
        })
      }))
    })
  }
}

const comparisonsOf = (
  group: RewardGroup,
  place: number,
  orders: ReadonlyArray<Order>,
  ask: NonNullable<PairwiseJudgeOptions["ask"]>
): ReadonlyArray<Comparison> =>
  group.responses.flatMap((a, i) =>
    group.responses.slice(i + 1).flatMap((b, offset) =>
      orders.map((order) => ({
        row: group.row,
        group: place,
        pair: [i, i + 1 + offset] as const,
        order,
        messages: order === "given" ? ask(group, a, b) : ask(group, b, a)
      }))
    )
  )

/** Of the response that stands first in the group. @param verdict of the one that was read first */
const shareOfFirst = (verdict: number | undefined, order: Order): number | undefined =>
  verdict === undefined || order === "given" ? verdict : 1 - verdict

const mean = (shares: ReadonlyArray<number | undefined>): number | undefined => {
  const said = shares.filter((share) => share !== undefined)
  if (said.length < shares.length) return undefined
  return said.length === 0 ? 0.5 : said.reduce((sum, share) => sum + share, 0) / said.length
}

const askForVerdict: NonNullable<PairwiseJudgeOptions["ask"]> = ({ answer, prompt }, first, second) => [
  {
    role: "user",
    content: [
      "Which response answers the request better? The order in which they stand, their length and their tone do not count.",
      "Explain in one sentence, then end with one of [[A>>B]] (A is much better), [[A>B]], [[A=B]], [[B>A]], [[B>>A]].",
      `\n[Request]\n${prompt.text}`,
      ...(answer === undefined ? [] : [`\n[Right answer]\n${answer}`]),
      `\n[Response A]\n${first.text}`,
      `\n[Response B]\n${second.text}`
    ].join("\n")
  }
]
