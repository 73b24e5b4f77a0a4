import { ReferencePolicy } from "@plumbline/models"
import { Generator, type GeneratorShape } from "@plumbline/rollout-generation"
import { Context, Effect, Layer } from "effect"
import type { EngineOptions } from "@plumbline/rollout-generation"

/** Responses of the reference policy, beside those of the policy. */
export class ReferenceGenerator extends Context.Service<ReferenceGenerator, GeneratorShape>()(
  "@plumbline/algorithms/ReferenceGenerator"
) {
  static readonly layerEngine = (options: EngineOptions) =>
    Layer.effect(
      ReferenceGenerator,
      Effect.gen(function* () {
        const context = yield* Layer.build(Generator.layerModel(yield* ReferencePolicy, options))
        return Context.get(context, Generator)
      })
    )
}
