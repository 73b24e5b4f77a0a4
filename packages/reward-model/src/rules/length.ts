import type { JudgedResponse } from "../reward-request.ts"
import type { RewardRule } from "./rule.ts"

export interface LengthOptions {
  /** "length" when absent. */
  readonly name?: string
  readonly weight?: number
  /** What is counted; "tokens", the one that ended it included, when absent. */
  readonly of?: "tokens" | "characters"
}

export interface LengthWithinOptions extends LengthOptions {
  /** 0 when absent. */
  readonly min?: number
  readonly max: number
}

/** The length itself: with a negative weight a price for each token. */
export const length = ({ name = "length", of = "tokens", weight = 1 }: LengthOptions = {}): RewardRule => ({
  name,
  weight,
  score: (response) => lengthOf(response, of)
})

/** 1 where the length is in [min, max], else 0. */
export const lengthWithin = ({
  max,
  min = 0,
  name = "length",
  of = "tokens",
  weight = 1
}: LengthWithinOptions): RewardRule => {
  if (min > max) throw new RangeError(`no length is at least ${min} and at most ${max}`)
  return {
    name,
    weight,
    score: (response) => {
      const counted = lengthOf(response, of)
      return counted >= min && counted <= max ? 1 : 0
    }
  }
}

/** Code points, so that a letter outside the basic plane is one. */
const lengthOf = ({ ids, text }: JudgedResponse, of: "tokens" | "characters"): number =>
  of === "tokens" ? ids.length : Array.from(text).length
