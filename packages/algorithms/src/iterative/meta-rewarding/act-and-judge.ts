import { Tokenizer } from "@plumbline/data"
import type { RewardGroup } from "@plumbline/reward-model"
import type { Dataset } from "@plumbline/training"
import { Effect } from "effect"
import { type JudgedPromptUnit, rewardGroup } from "../../responses/judged-responses.ts"
import type { PromptUnit } from "../../responses/prompt-data.ts"
import { type ResponseOptions, writeResponses } from "../../responses/responses.ts"
import { type Judgement, type JudgeWords, meanRating, writeJudgements } from "./judgements.ts"

/** The responses to a prompt with what the model says of them. */
export interface ActedPrompt {
  readonly group: RewardGroup
  /** [responses][judgements] */
  readonly judgements: ReadonlyArray<ReadonlyArray<Judgement>>
  /** Rewards are mean ratings. */
  readonly judged: JudgedPromptUnit
}

export interface ActingOptions extends ResponseOptions {
  readonly evaluations: number
  readonly judgeSampling: ResponseOptions["sampling"]
  readonly judge: JudgeWords
}

/** The model writes responses and judges each several times. */
export const actAndJudge = Effect.fnUntraced(function* (
  { maxLength }: Pick<Dataset<PromptUnit>, "maxLength">,
  units: ReadonlyArray<PromptUnit>,
  step: number,
  options: ActingOptions
) {
  const tokenizer = yield* Tokenizer
  const prompts = units.map(({ row }) => row.ids)
  const written = yield* writeResponses(prompts, step, { ...options, maxLength })
  const groups = units.map((unit, i) => rewardGroup(tokenizer, unit, written[i]!))
  const { evaluations, judge, judgeSampling, seed } = options
  const asked = { samples: evaluations, seed: seed + 1, sampling: judgeSampling }
  const judgements = yield* writeJudgements(groups, step, judge, asked)
  return units.map((unit, i): ActedPrompt => {
    const samples = written[i]!.map((sample, s) => ({ ...sample, ...meanRating(judgements[i]![s]!, judge.scale) }))
    return { group: groups[i]!, judgements: judgements[i]!, judged: { unit, samples } }
  })
})
