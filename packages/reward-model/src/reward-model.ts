import {
  type ConfigInvalid,
  createScalarModel,
  type DecoderTable,
  type Head,
  type HeadMissing,
  type LoadError,
  loadScalarModel,
  type NewHead,
  type ScalarModel,
  type UnsupportedModel
} from "@plumbline/models"
import { ModelRuntime } from "@plumbline/runtime"
import { Context, Effect, Layer } from "effect"

export interface RewardModelOptions {
  /** true when absent. */
  readonly trainable?: boolean
  /** In place of the folder's own head, or on a language model. */
  readonly head?: NewHead | undefined
  /** Token that fills up rows, noted in config.json where it has none. */
  readonly padId?: number | undefined
}

/** A decoder with a head whose scores are, or are to become, rewards. */
export class RewardModel extends Context.Service<RewardModel, ScalarModel>()("@plumbline/reward-model/RewardModel") {
  static readonly layerFromFolder = (
    folder: string,
    { head, padId, trainable = true }: RewardModelOptions = {}
  ): Layer.Layer<RewardModel, LoadError | HeadMissing, ModelRuntime> =>
    Layer.effect(RewardModel, living(loadScalarModel(folder, { name: "reward", trainable, head, padId })))

  /** A model from scratch, as its table of numbers says; its weights depend on `seed` alone. */
  static readonly layerNew = (
    table: DecoderTable,
    head: Head,
    seed: number
  ): Layer.Layer<RewardModel, ConfigInvalid | UnsupportedModel, ModelRuntime> =>
    Layer.effect(
      RewardModel,
      living(
        Effect.andThen(
          ModelRuntime,
          Effect.try({
            try: () => createScalarModel(table, head, seed),
            catch: (cause) => cause as ConfigInvalid | UnsupportedModel
          })
        )
      )
    )
}

/** Lives as long as the layer. */
const living = <E, R>(make: Effect.Effect<ScalarModel, E, R>) =>
  Effect.acquireRelease(make, (model) => Effect.sync(model.dispose))
