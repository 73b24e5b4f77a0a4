import { geometricMixture, Policy, ReferencePolicy } from "@plumbline/models"
import { type EngineOptions, Generator, type GeneratorShape } from "@plumbline/rollout-generation"
import { Context, Effect, Layer } from "effect"
import { OptionsInvalid } from "@plumbline/training"

/** Writes the responses that the policy's are compared with. */
export class OpponentGenerator extends Context.Service<OpponentGenerator, GeneratorShape>()(
  "@plumbline/algorithms/OpponentGenerator"
) {
  /** The reference policy. */
  static readonly layerReference = (options: EngineOptions) =>
    Layer.effect(
      OpponentGenerator,
      Effect.gen(function* () {
        const context = yield* Layer.build(Generator.layerModel(yield* ReferencePolicy, options))
        return Context.get(context, Generator)
      })
    )

  /**
   * The geometric mixture of policy and reference, token by token: π^(1−share) · π_ref^share.
   *
   * @param share of the reference, in [0, 1]; 0 is the policy itself
   */
  static readonly layerMixture = (share: number, options: EngineOptions) =>
    Layer.effect(
      OpponentGenerator,
      Effect.gen(function* () {
        const [policy, reference] = [yield* Policy, yield* ReferencePolicy]
        const mixed = yield* Effect.try({
          try: () => geometricMixture(policy, reference, share),
          catch: (cause) => new OptionsInvalid({ option: "--reference", reason: (cause as RangeError).message })
        })
        const context = yield* Layer.build(Generator.layerModel(mixed, options))
        return Context.get(context, Generator)
      })
    )
}
