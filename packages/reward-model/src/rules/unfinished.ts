import type { RewardRule } from "./rule.ts"

export interface UnfinishedOptions {
  /** "unfinished" when absent. */
  readonly name?: string
  /** What a response that did not end of its own loses. */
  readonly penalty: number
}

/** −penalty where a response was cut off at the most tokens it may have, 0 where it ended, or where nobody knows. */
export const unfinished = ({ name = "unfinished", penalty }: UnfinishedOptions): RewardRule => {
  if (!(penalty > 0 && penalty < Infinity)) throw new RangeError(`a penalty of ${penalty} is not above 0`)
  return { name, weight: penalty, score: ({ finished }) => (finished === false ? -1 : 0) }
}
