import { type Calibration, calibration } from "./calibration.ts"
import { sectionScores } from "./reward-bench.ts"

export interface ScoredPair {
  readonly chosen: number
  readonly rejected: number
  readonly subset?: string | undefined
}

export interface PairScore {
  readonly pairs: number
  /** Share of pairs whose chosen response scores strictly higher, as in RewardBench. */
  readonly accuracy: number
  readonly ties: number
  /** Mean of score(chosen) − score(rejected). */
  readonly margin: number
}

export interface PairReport extends PairScore {
  /** Mean −log σ(gap), nats; ln 2 for a model that knows nothing. */
  readonly loss: number
  readonly calibration: Calibration
  /** By name, in the order of the file; empty where no pair has one. */
  readonly subsets: Readonly<Record<string, PairScore>>
  /** RewardBench's sections that all subsets of are there; empty elsewhere. */
  readonly sections: Readonly<Record<string, number>>
}

/** What the scores of pairs say about a reward model. @param pairs at least one */
export const pairReport = (pairs: ReadonlyArray<ScoredPair>): PairReport => {
  const gaps = gapsOf(pairs)
  const names = [...new Set(pairs.flatMap(({ subset }) => subset ?? []))]
  const subsets = Object.fromEntries(
    names.map((name) => [name, scoreOf(gapsOf(pairs.filter(({ subset }) => subset === name)))])
  )
  return {
    ...scoreOf(gaps),
    loss: mean(gaps.map(softplusOfMinus)),
    calibration: calibration(gaps),
    subsets,
    sections: sectionScores(subsets)
  }
}

const gapsOf = (pairs: ReadonlyArray<ScoredPair>): ReadonlyArray<number> =>
  pairs.map(({ chosen, rejected }) => chosen - rejected)

const scoreOf = (gaps: ReadonlyArray<number>): PairScore => ({
  pairs: gaps.length,
  accuracy: gaps.filter((gap) => gap > 0).length / gaps.length,
  ties: gaps.filter((gap) => gap === 0).length,
  margin: mean(gaps)
})

/** −log σ(gap), finite for any gap. */
const softplusOfMinus = (gap: number): number => Math.max(-gap, 0) + Math.log1p(Math.exp(-Math.abs(gap)))

const mean = (values: ReadonlyArray<number>): number => values.reduce((sum, value) => sum + value, 0) / values.length
