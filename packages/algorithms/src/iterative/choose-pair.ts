import type { JudgedSample } from "../responses/judged-responses.ts"

export interface ChosenPair {
  readonly chosen: JudgedSample
  readonly rejected: JudgedSample
}

/** Which two of a prompt's responses make a pair; nothing where none is better than another. */
export type ChoosePair = (samples: ReadonlyArray<JudgedSample>) => ChosenPair | undefined

const judgedOnes = (samples: ReadonlyArray<JudgedSample>) => samples.filter(({ reward }) => reward !== undefined)

/** The best against the worst; of equal ones the first. */
export const bestAndWorst: ChoosePair = (samples) => lengthControlled(0)(samples)

/**
 * Self-rewarding's choice with length control: the shortest of the responses that are nearly the best against the longest
 * of those that are nearly the worst,
 *
 *   chosen:   shortest with  r ≥ (1−ρ)·max + ρ·min
 *   rejected: longest with   r ≤ (1−ρ)·min + ρ·max
 *
 * ρ = 0 leaves the best and the worst themselves: the first of equals.
 *
 * @param share ρ in [0, ½)
 * @see Wu et al. 2024 (Meta-Rewarding), §2.3, https://arxiv.org/abs/2407.19594
 */
export const lengthControlled =
  (share: number): ChoosePair =>
  (samples) => {
    const known = judgedOnes(samples)
    const rewards = known.map(({ reward }) => reward!)
    const [min, max] = [Math.min(...rewards), Math.max(...rewards)]
    if (known.length < 2 || min === max) return undefined
    const good = known.filter(({ reward }) => reward! >= (1 - share) * max + share * min)
    const bad = known.filter(({ reward }) => reward! <= (1 - share) * min + share * max)
    if (share === 0) return { chosen: good[0]!, rejected: bad[0]! }
    return {
      chosen: good.reduce((a, b) => (lengthOf(b) < lengthOf(a) ? b : a)),
      rejected: bad.reduce((a, b) => (lengthOf(b) > lengthOf(a) ? b : a))
    }
  }

const lengthOf = ({ response }: JudgedSample): number => response.responseIds.length
