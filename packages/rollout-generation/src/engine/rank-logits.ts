import { type HostNumbers, type Tensor2D, topLogProbs } from "@plumbline/runtime"
import type { TokenLogProb } from "../request.ts"
import type { Draw, Group } from "./group.ts"
import type { PromptToken, StepResult } from "./step.ts"

const alternativesOf = ({ request }: Group): number => request.topLogProbs ?? 0

/**
 * What a step tells beside the tokens that it drew: their alternatives, and scores of prompts; undefined where nobody asks.
 *
 * @param logits [N, V], of the drawn tokens, then of the tokens to score
 */
export const rankLogits = (logits: Tensor2D, drawn: ReadonlyArray<Draw>, scored: ReadonlyArray<PromptToken>) => {
  const reporting = drawn.flatMap(({ row }, i) => (alternativesOf(row.group) > 0 ? [{ row, i }] : []))
  if (reporting.length + scored.length === 0) return undefined
  const wanted = [...reporting.map(({ row }) => row.group), ...scored.map(({ prefix }) => prefix.group)].map(
    alternativesOf
  )
  const { ids, logProbs, targetLogProbs } = topLogProbs(logits, {
    rows: Int32Array.from([...reporting.map(({ i }) => i), ...scored.map((_, i) => drawn.length + i)]),
    // what was drawn has its own log-prob
    targets: Int32Array.from([
      ...reporting.map(() => 0),
      ...scored.map(({ prefix, t }) => prefix.group.request.promptIds[t]!)
    ]),
    count: wanted.reduce((most, count) => Math.max(most, count), 1)
  })
  const width = ids.shape[1]
  return {
    tensors: [ids, logProbs, targetLogProbs] as const,
    read: (values: ReadonlyArray<HostNumbers>): Pick<StepResult, "scored" | "top"> => {
      const [tokens, tops, ofTargets] = values as [Int32Array, Float32Array, Float32Array]
      const topOf = (i: number): ReadonlyArray<TokenLogProb> =>
        Array.from({ length: Math.min(width, wanted[i]!) }, (_, k) => ({
          id: tokens[i * width + k]!,
          logProb: tops[i * width + k]!
        }))
      return {
        top: new Map(reporting.map(({ i }, place) => [i, topOf(place)])),
        scored: scored.map((token, s) => {
          const i = reporting.length + s
          return { ...token, logProb: ofTargets[i]!, top: topOf(i) }
        })
      }
    }
  }
}
