import type { Advantage } from "../advantages/advantage.ts"
import { listed, rewarded } from "./listed.ts"
import { maskReason } from "./mask-reason.ts"
import type { RolloutGroup } from "./rollout.ts"

/** Rounding of a mean leaves equal rewards that far from it; what is learnt from is larger by orders of magnitude. */
const LEAST_ADVANTAGE = 1e-7

/**
 * Whether something can be learnt from a group: one of its responses that count has an advantage over the others. Where
 * all rewards are equal none has.
 */
export const teaches = (
  group: RolloutGroup,
  { advantage, maskTruncated }: { readonly advantage: Advantage; readonly maskTruncated: boolean }
): boolean => {
  const judged = listed({ index: 0, groups: [group] }).filter(({ response }) => response.reward !== undefined)
  if (judged.length === 0) return false
  const { tokens } = advantage.of(rewarded(judged))
  return judged.some(
    ({ response }, i) =>
      maskReason(response, maskTruncated) === undefined &&
      tokens[i]!.some((advantage) => Math.abs(advantage) > LEAST_ADVANTAGE)
  )
}
