import { Reward } from "@plumbline/reward-model"
import { option, optional, OptionsInvalid, Positive } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { normalizedByReward } from "../advantages/by-reward.ts"
import { groupNormalized } from "../advantages/group-normalized.ts"
import { policyLoss, PolicyLossName } from "./loss-table.ts"
import { onlineCommand } from "./online-command.ts"
import type { OnlineFlags } from "./online-options.ts"
import { groupFields } from "./rollout-fields.ts"

/** `plumb grpo`: group-relative policy optimization and its relatives. */
export const grpoCommand = onlineCommand({
  name: "grpo",
  summary: "group-relative policy optimization and its relatives on prompts with a reward",
  own: {
    ...groupFields,
    loss: option(PolicyLossName, "dapo", "surrogate and how tokens are averaged, by TRL's names"),
    scaleRewards: option(
      Schema.Literals(["group", "batch", "none"]),
      "group",
      "whose deviation divides advantages; none is Dr.GRPO's"
    ),
    normalizeEachReward: option(
      Schema.Boolean,
      false,
      "each of several rewards is normalized in its group before they are added up, so that none drowns the others (GDPO)"
    ),
    cispoCap: optional(Positive, "most that a token weighs under --loss cispo, which needs it; 5, say"),
    gmpoClip: option(Positive, 0.4, "most of a token's log-ratio under --loss gmpo")
  },
  algorithm: Effect.fnUntraced(function* (flags, shared) {
    const loss = yield* policyLoss(flags.loss, flags)
    const advantage = flags.normalizeEachReward
      ? yield* byReward(flags)
      : groupNormalized({ scale: flags.scaleRewards })
    return { ...shared, ...loss, dynamicSampling: flags.dynamicSampling, name: "grpo", advantage }
  })
})

const byReward = Effect.fnUntraced(function* ({ klCoefficient, klPlace, scaleRewards }: OnlineFlags & ScaleFlag) {
  const reason =
    (scaleRewards !== "group" && "divides by the deviation in the group: it does not go with --scale-rewards") ||
    (klCoefficient > 0 && klPlace === "reward" && "sees no KL in the reward: take --kl-place loss")
  if (reason !== false) return yield* new OptionsInvalid({ option: "--normalize-each-reward", reason })
  const { parts } = yield* Reward
  return normalizedByReward({ weights: Object.fromEntries(parts.map(({ name, weight }) => [name, weight])) })
})

interface ScaleFlag {
  readonly scaleRewards: string
}
