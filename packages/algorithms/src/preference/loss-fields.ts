import { NonNegative, option, optional, Positive } from "@plumbline/training"
import { Schema } from "effect"
import { UnitShare } from "../command-fields.ts"
import { DivergenceName, PairLossName } from "./loss-table.ts"

/** What chooses a loss on pairs, for every command that has one. */
export const pairLossFields = {
  loss: option(
    Schema.Array(PairLossName),
    ["sigmoid"],
    "loss, or several that are added; sft is the chosen cross-entropy"
  ),
  lossWeights: optional(Schema.Array(NonNegative), "weight of each --loss (default: 1 each)"),
  beta: option(Positive, 0.1, "strength of the pull toward the reference policy"),
  labelSmoothing: option(UnitShare, 0, "share of pairs assumed mislabelled, below ½ (sigmoid, robust, exo_pair, aot)"),
  fDivergence: option(DivergenceName, "reverse_kl", "divergence from the reference policy"),
  alpha: option(Schema.Finite, 0.5, "α of alpha_divergence; 1 is reverse_kl"),
  discopopTau: option(Positive, 0.05, "width of discopop's blend"),
  eta: option(Positive, 1, "implicit reward that one unit of graded reward is worth (rpo_*)"),
  ldAlpha: optional(UnitShare, "weight of tokens beyond the shorter response's length (LD-DPO); 1 changes nothing"),
  wpo: option(Schema.Boolean, false, "weigh pairs by how likely the policy is to write them (WPO)")
} as const
