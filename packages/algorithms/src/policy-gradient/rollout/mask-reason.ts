import type { RolloutResponse } from "./rollout.ts"

/** Why the policy does not learn from a response. */
export type MaskReason = "truncated" | "no reward" | "no advantage"

/** What is wrong with a response for itself. @param maskTruncated whether those that were cut teach nothing */
export const maskReason = (
  { ended, reward }: Pick<RolloutResponse, "ended" | "reward">,
  maskTruncated: boolean
): MaskReason | undefined => {
  if (reward === undefined) return "no reward"
  return maskTruncated && !ended ? "truncated" : undefined
}
