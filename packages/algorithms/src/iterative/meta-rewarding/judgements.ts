import type { Message } from "@plumbline/data"
import {
  type JudgedResponse,
  judgement,
  type Judgement as RewardJudgement,
  type RatingReader,
  type RewardGroup
} from "@plumbline/reward-model"
import { Effect } from "effect"
import type { ResponseOptions } from "../../responses/responses.ts"
import { askModel, type Said } from "./ask-model.ts"

export interface Scale {
  readonly min: number
  readonly max: number
}

/** How the model judges responses one by one. */
export interface JudgeWords {
  readonly scale: Scale
  readonly ask: (group: RewardGroup, response: JudgedResponse, scale: Scale) => ReadonlyArray<Message>
  readonly read: RatingReader
}

/** A judgement of a response. */
export interface Judgement extends Said {
  /** On the scale; undefined where the text says none. */
  readonly rating: number | undefined
}

/** Judgements of every response: [groups][responses][judgements]. */
export const writeJudgements = Effect.fnUntraced(function* (
  groups: ReadonlyArray<RewardGroup>,
  step: number,
  { ask, read, scale }: JudgeWords,
  options: ResponseOptions
) {
  const questions = groups.flatMap((group) => group.responses.map((response) => ask(group, response, scale)))
  const said = yield* askModel(questions, step, options)
  let next = 0
  return groups.map(({ responses }) =>
    responses.map((): ReadonlyArray<Judgement> => said[next++]!.map((one) => ({ ...one, rating: read(one.text) })))
  )
})

const ratingsOf = (judgements: ReadonlyArray<Judgement>): ReadonlyArray<number> =>
  judgements.flatMap(({ rating }) => rating ?? [])

/** The mean of the ratings that could be read, as a reward from 0 to 1; it abstains where none could. */
export const meanRating = (judgements: ReadonlyArray<Judgement>, { max, min }: Scale): RewardJudgement => {
  const ratings = ratingsOf(judgements)
  const raw = ratings.length === 0 ? undefined : mean(ratings)
  return judgement([
    { name: "judge", weight: 1, raw, value: raw === undefined ? undefined : (raw - min) / (max - min) }
  ])
}

/** How little sure the judge is of a response: the variance of its ratings. */
export const ratingVariance = (judgements: ReadonlyArray<Judgement>): number => {
  const ratings = ratingsOf(judgements)
  return ratings.length === 0 ? 0 : mean(ratings.map((rating) => (rating - mean(ratings)) ** 2))
}

const mean = (values: ReadonlyArray<number>): number => values.reduce((sum, value) => sum + value, 0) / values.length
