import { type ConfigInvalid, createModel, type DecoderTable, Policy, type UnsupportedModel } from "@plumbline/models"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect, Layer } from "effect"

/** A policy from scratch, as its table of numbers says; its weights depend on `seed` alone. */
export const newPolicy = (
  table: DecoderTable,
  seed: number
): Layer.Layer<Policy, ConfigInvalid | UnsupportedModel, ModelRuntime> =>
  Layer.effect(
    Policy,
    Effect.acquireRelease(
      Effect.gen(function* () {
        yield* ModelRuntime
        return yield* Effect.try({
          try: () => createModel(table, seed),
          catch: (cause) => cause as ConfigInvalid | UnsupportedModel
        })
      }),
      (model) => Effect.sync(model.dispose)
    )
  )
