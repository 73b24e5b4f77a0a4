import { option } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { AdvantageName, grpoAdvantage } from "./advantage-table.ts"
import { lossFields } from "./loss-fields.ts"
import { policyLoss, PolicyLossName } from "./loss-table.ts"
import { onlineCommand } from "./online-command.ts"
import { groupFields } from "./rollout-fields.ts"

/** `plumb grpo`: group-relative policy optimization and its relatives. */
export const grpoCommand = onlineCommand({
  name: "grpo",
  own: {
    ...groupFields,
    loss: option(PolicyLossName, "dapo", "surrogate and how tokens are averaged, by TRL's names"),
    advantage: option(
      AdvantageName,
      "group",
      "who a response is held against: its group; opo, the mean of its group by length; pass_at_k, the best against the second; gpg, its group's mean, for --loss gpg"
    ),
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
    ...lossFields
  },
  algorithm: Effect.fnUntraced(function* (flags, shared) {
    const loss = yield* policyLoss(flags.loss, flags)
    const advantage = yield* grpoAdvantage(flags)
    return { ...shared, ...loss, dynamicSampling: flags.dynamicSampling, name: "grpo", advantage }
  })
})
