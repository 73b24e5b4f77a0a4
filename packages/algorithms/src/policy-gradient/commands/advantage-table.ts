import { Reward } from "@plumbline/reward-model"
import { OptionsInvalid } from "@plumbline/training"
import { Effect, Schema } from "effect"
import type { Advantage } from "../advantages/advantage.ts"
import { lengthWeightedBaseline } from "../advantages/baselines.ts"
import { bestOfGroup } from "../advantages/best-of-group.ts"
import { normalizedByReward } from "../advantages/by-reward.ts"
import { groupCentred, groupNormalized } from "../advantages/group-normalized.ts"
import type { OnlineFlags } from "./online-options.ts"

interface AdvantageFlags extends Pick<OnlineFlags, "klCoefficient" | "klPlace"> {
  readonly advantage: AdvantageName
  readonly scaleRewards: "group" | "batch" | "none"
  readonly normalizeEachReward: boolean
}

/** What `--advantage` of plumb grpo can name; the scale is read by the first alone. */
const advantages = {
  group: ({ scaleRewards: scale }) => groupNormalized({ scale }),
  opo: lengthWeightedBaseline,
  pass_at_k: bestOfGroup,
  gpg: groupCentred
} satisfies Readonly<Record<string, (flags: AdvantageFlags) => Advantage>>

type AdvantageName = keyof typeof advantages

export const AdvantageName = Schema.Literals(Object.keys(advantages) as ReadonlyArray<AdvantageName>)

/** The advantage of the flags; those that it does not read are refused. */
export const grpoAdvantage = Effect.fnUntraced(function* (flags: AdvantageFlags) {
  const { advantage, normalizeEachReward, scaleRewards } = flags
  if (advantage !== "group") {
    const unread = (scaleRewards !== "group" && "--scale-rewards") || (normalizeEachReward && "--normalize-each-reward")
    if (unread !== false) {
      return yield* new OptionsInvalid({ option: unread, reason: `is not read by --advantage ${advantage}` })
    }
  }
  return normalizeEachReward ? yield* byReward(flags) : advantages[advantage](flags)
})

const byReward = Effect.fnUntraced(function* ({ klCoefficient, klPlace, scaleRewards }: AdvantageFlags) {
  const reason =
    (scaleRewards !== "group" && "divides by the deviation in the group: it does not go with --scale-rewards") ||
    (klCoefficient > 0 && klPlace === "reward" && "sees no KL in the reward: take --kl-place loss")
  if (reason !== false) return yield* new OptionsInvalid({ option: "--normalize-each-reward", reason })
  const { parts } = yield* Reward
  return normalizedByReward({ weights: Object.fromEntries(parts.map(({ name, weight }) => [name, weight])) })
})
