import { judgement } from "@plumbline/reward-model"
import { Effect } from "effect"
import type { PairUnit } from "../../preference/preference-data.ts"
import type { JudgedPromptUnit } from "../../responses/judged-responses.ts"
import type { ResponseOptions } from "../../responses/responses.ts"
import { lengthControlled } from "../choose-pair.ts"
import { pairUnit } from "../online-preference.ts"
import type { ActedPrompt } from "./act-and-judge.ts"
import { type Contest, contests } from "./contest.ts"
import { eloScores } from "./elo.ts"
import { battleMatrices, fightBattles, type MetaJudgeWords } from "./meta-judge.ts"

export interface MetaJudgeOptions {
  readonly seed: number
  readonly judgeSampling: ResponseOptions["sampling"]
  readonly metaShare: number
  readonly metaJudge: MetaJudgeWords
}

/** Pairs of judgements, the highest against the lowest Elo score, and how the meta-judge did. */
export const judgementPairs = Effect.fnUntraced(function* (
  acted: ReadonlyArray<ActedPrompt>,
  step: number,
  { judgeSampling, metaJudge, metaShare, seed }: MetaJudgeOptions
) {
  const fought = contests(acted, metaShare)
  const battles = yield* fightBattles(fought, step, metaJudge, { seed: seed + 2, sampling: judgeSampling })
  const matrices = battleMatrices(fought, battles)
  const pairs = fought.map((contest, c) => chosenPair(scored(contest, eloScores(matrices[c]!)), 0))
  const verdicts = battles.map(({ verdict }) => verdict)
  return {
    pairs: pairs.flat(),
    report: {
      "judge_pairs/used": Float32Array.from(pairs, ({ length }) => length),
      "verdicts/read": Float32Array.from(verdicts, (verdict) => (verdict === undefined ? 0 : 1)),
      "verdicts/first": Float32Array.from(verdicts.flatMap((verdict) => verdict ?? []))
    }
  }
})

/** The judgements of a contest as samples to choose from, with their scores for rewards. */
const scored = ({ judgements, unit }: Contest, scores: ReadonlyArray<number>): JudgedPromptUnit => ({
  unit: { ...unit, origin: `${unit.origin}, judged` },
  samples: judgements.map((said, m) => {
    const score = scores[m]!
    return { ...said, ...judgement([{ name: "elo", weight: 1, raw: score, value: score }]) }
  })
})

export const chosenPair = (group: JudgedPromptUnit, lengthControl: number): ReadonlyArray<PairUnit> => {
  const pair = lengthControlled(lengthControl)(group.samples)
  return pair === undefined ? [] : [pairUnit(group, pair)]
}
