import { ModelRuntime } from "@plumbline/runtime"
import { Context, Effect, Layer } from "effect"
import { loadCausalLM } from "./checkpoint/load.ts"
import { freeze } from "./copy-weights.ts"
import { createModel, type DecoderTable } from "./create-model.ts"
import type { ConfigInvalid, LoadError, UnsupportedModel } from "./errors.ts"
import type { CausalLM } from "./model.ts"

/** A model that lives as long as the layer. */
const loaded = (folder: string, name: string, trainable: boolean) =>
  Effect.acquireRelease(loadCausalLM(folder, { name, trainable }), (model) => Effect.sync(model.dispose))

/** The model being trained. */
export class Policy extends Context.Service<Policy, CausalLM>()("@plumbline/models/Policy") {
  static readonly layerFromFolder = (folder: string): Layer.Layer<Policy, LoadError, ModelRuntime> =>
    Layer.effect(Policy, loaded(folder, "policy", true))

  /** A model from scratch, as its table of numbers says; its weights depend on `seed` alone. */
  static readonly layerNew = (
    table: DecoderTable,
    seed: number
  ): Layer.Layer<Policy, ConfigInvalid | UnsupportedModel, ModelRuntime> =>
    Layer.effect(
      Policy,
      Effect.acquireRelease(
        Effect.andThen(
          ModelRuntime,
          Effect.try({
            try: () => createModel(table, seed),
            catch: (cause) => cause as ConfigInvalid | UnsupportedModel
          })
        ),
        (model) => Effect.sync(model.dispose)
      )
    )
}

/** The frozen model that the policy is kept near to. */
export class ReferencePolicy extends Context.Service<ReferencePolicy, CausalLM>()("@plumbline/models/ReferencePolicy") {
  static readonly layerFromFolder = (folder: string): Layer.Layer<ReferencePolicy, LoadError, ModelRuntime> =>
    Layer.effect(ReferencePolicy, loaded(folder, "reference", false))

  /** A frozen copy of the policy as it is before training. */
  static readonly layerFrozen: Layer.Layer<ReferencePolicy, never, Policy> = Layer.effect(
    ReferencePolicy,
    Effect.flatMap(Policy, (policy) =>
      Effect.acquireRelease(
        Effect.sync(() => freeze(policy, "reference")),
        (model) => Effect.sync(model.dispose)
      )
    )
  )

  /** One whose weights can be set between steps. */
  static readonly layerMovable = (folder: string): Layer.Layer<ReferencePolicy, LoadError, ModelRuntime> =>
    Layer.effect(ReferencePolicy, loaded(folder, "reference", true))
}

/** The frozen model that a student learns from. */
export class Teacher extends Context.Service<Teacher, CausalLM>()("@plumbline/models/Teacher") {
  static readonly layerFromFolder = (folder: string): Layer.Layer<Teacher, LoadError, ModelRuntime> =>
    Layer.effect(Teacher, loaded(folder, "teacher", false))
}
