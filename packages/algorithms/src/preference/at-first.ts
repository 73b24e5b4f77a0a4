import type { Expected } from "@plumbline/training"
import type { PreferenceLoss } from "./preference-loss.ts"

type AtFirst = Readonly<Record<string, Expected>>

/** Implicit rewards where the policy is its reference: none. */
export const rewardsAtFirst = (beta: number): AtFirst => ({
  "rewards/chosen": { value: 0, perNat: beta },
  "rewards/rejected": { value: 0, perNat: beta }
})

/** The same, and what a pair costs then, where that is known. */
export const pairsAtFirst = ({ atReference, beta }: Pick<PreferenceLoss, "atReference" | "beta">): AtFirst => ({
  ...rewardsAtFirst(beta),
  ...(atReference !== undefined && { loss: { value: atReference, perNat: beta } })
})
