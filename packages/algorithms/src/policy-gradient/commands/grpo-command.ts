import { option, optional, Positive } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { groupNormalized } from "../advantages/group-normalized.ts"
import { policyLoss, PolicyLossName } from "./loss-table.ts"
import { onlineCommand } from "./online-command.ts"
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
    cispoCap: optional(Positive, "most that a token weighs under --loss cispo, which needs it; 5, say"),
    gmpoClip: option(Positive, 0.4, "most of a token's log-ratio under --loss gmpo")
  },
  algorithm: (flags, shared) =>
    Effect.map(policyLoss(flags.loss, flags), (loss) => ({
      ...shared,
      ...loss,
      dynamicSampling: flags.dynamicSampling,
      name: "grpo",
      advantage: groupNormalized({ scale: flags.scaleRewards })
    }))
})
