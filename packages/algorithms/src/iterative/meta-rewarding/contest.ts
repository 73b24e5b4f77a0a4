import type { JudgedResponse, RewardGroup } from "@plumbline/reward-model"
import type { PromptUnit } from "../../responses/prompt-data.ts"
import type { ActedPrompt } from "./act-and-judge.ts"
import { type Judgement, ratingVariance } from "./judgements.ts"

/** Judgements of one response that are compared with each other. */
export interface Contest {
  readonly unit: PromptUnit
  readonly group: RewardGroup
  readonly response: JudgedResponse
  /** Readable ones, no two the same. */
  readonly judgements: ReadonlyArray<Judgement>
}

/**
 * Of each prompt the response that the judge is least sure of, and its judgements. Of the prompts the share in which it is
 * least sure. A response whose ratings are all the same leaves nothing to compare.
 *
 * @param share of the prompts, rounded up
 */
export const contests = (acted: ReadonlyArray<ActedPrompt>, share: number): ReadonlyArray<Contest> =>
  acted
    .map((prompt) => ({ prompt, variances: prompt.judgements.map(ratingVariance) }))
    .map(({ prompt, variances }) => ({ prompt, variances, most: Math.max(...variances) }))
    .filter(({ most }) => most > 0)
    .toSorted((a, b) => b.most - a.most)
    .slice(0, Math.ceil(share * acted.length))
    .map(({ most, prompt, variances }) => contestOf(prompt, variances.indexOf(most)))

const contestOf = ({ group, judged, judgements }: ActedPrompt, response: number): Contest => ({
  unit: judged.unit,
  group,
  response: group.responses[response]!,
  judgements: readable(judgements[response]!)
})

const readable = (judgements: ReadonlyArray<Judgement>): ReadonlyArray<Judgement> => {
  const read = judgements.filter(({ rating }) => rating !== undefined)
  return read.filter(({ text }, i) => read.findIndex((other) => other.text === text) === i)
}
