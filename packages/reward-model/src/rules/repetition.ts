import type { JudgedResponse } from "../reward-request.ts"
import type { RewardRule } from "./rule.ts"

export interface RepetitionOptions {
  /** "repetition" when absent. */
  readonly name?: string
  readonly weight?: number
  /** n of the n-grams; 3 when absent. */
  readonly size?: number
  /** What the n-grams are made of; "words" when absent. */
  readonly of?: "words" | "tokens"
}

/**
 * −(1 − different n-grams / n-grams): 0 where none comes twice, toward −1 where one is repeated for ever.
 *
 * @see Yeo et al. 2025, https://arxiv.org/abs/2502.03373
 */
export const repetition = ({
  name = "repetition",
  of = "words",
  size = 3,
  weight = 1
}: RepetitionOptions = {}): RewardRule => ({
  name,
  weight,
  score: (response) => {
    const items = itemsOf(response, of)
    const count = items.length - size + 1
    if (count < 1) return 0
    const different = new Set(Array.from({ length: count }, (_, i) => items.slice(i, i + size).join("\u0000")))
    return different.size / count - 1
  }
})

const itemsOf = ({ ids, text }: JudgedResponse, of: "words" | "tokens"): ReadonlyArray<string> =>
  of === "tokens"
    ? Array.from(ids, String)
    : text
        .toLowerCase()
        .split(/\s+/)
        .filter((word) => word !== "")
