import { Context, Effect, Layer } from "effect"
import type { HttpClient } from "effect/http"
import { type AttributesUnknown, unfitWeights } from "./attribute-weights.ts"
import { checkedReward } from "./checked-reward.ts"
import { modelReward, type ModelRewardOptions } from "./model/model-reward.ts"
import type { RemoteRewardOptions } from "./remote/remote-options.ts"
import { remoteReward } from "./remote/remote-reward.ts"
import { RewardModel } from "./reward-model.ts"
import type { RewardShape } from "./reward-shape.ts"
import { ruleReward, type RewardRule } from "./rules/rule.ts"

/** How good responses are: rules, a trained model, a server, a judge, or several of them. */
export class Reward extends Context.Service<Reward, RewardShape>()("@plumbline/reward-model/Reward") {
  /** Any reward that is a value: a judge, a composition, one of your own. */
  static readonly layer = (reward: RewardShape): Layer.Layer<Reward> => Layer.succeed(Reward, checkedReward(reward))

  /** Rules alone: code that reads the response. */
  static readonly layerRules = (...rules: ReadonlyArray<RewardRule>): Layer.Layer<Reward> =>
    Layer.sync(Reward, () => ruleReward(...rules))

  /** A trained model's scores. */
  static readonly layerModel = (
    options: ModelRewardOptions = {}
  ): Layer.Layer<Reward, AttributesUnknown, RewardModel> =>
    Layer.effect(
      Reward,
      Effect.flatMap(RewardModel, (model) => {
        const unfit = unfitWeights(model.head, options.attributeWeights)
        return unfit === undefined ? Effect.sync(() => modelReward(model, options)) : Effect.fail(unfit)
      })
    )

  /** A server that scores. */
  static readonly layerRemote = (options: RemoteRewardOptions): Layer.Layer<Reward, never, HttpClient.HttpClient> =>
    Layer.effect(Reward, remoteReward(options))
}
