import { Context, Layer } from "effect"
import type { RewardShape } from "./reward-shape.ts"
import { ruleReward, type RewardRule } from "./rules/rule.ts"

/** How good responses are: rules, a trained model, a server, a judge, or several of them. */
export class Reward extends Context.Service<Reward, RewardShape>()("@plumbline/reward-model/Reward") {
  /** Rules alone: code that reads the response. */
  static readonly layerRules = (...rules: ReadonlyArray<RewardRule>): Layer.Layer<Reward> =>
    Layer.sync(Reward, () => ruleReward(...rules))
}
