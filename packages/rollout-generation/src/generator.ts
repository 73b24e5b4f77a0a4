import { Policy, type SteppedModel } from "@plumbline/models"
import { Context, Effect, Layer } from "effect"
import { engineGenerator } from "./engine/engine-generator.ts"
import type { EngineOptions } from "./engine/engine.ts"
import type { GeneratorShape } from "./generator-shape.ts"

/** Responses of a policy to prompts: an engine of this process, or a server. */
export class Generator extends Context.Service<Generator, GeneratorShape>()("@plumbline/rollout-generation/Generator") {
  /** The engine of this process over the policy's live weights: a step of the optimizer is seen by the next token. */
  static readonly layerEngine = (options: EngineOptions = {}): Layer.Layer<Generator, never, Policy> =>
    Layer.effect(
      Generator,
      Effect.flatMap(Policy, (policy) => engineGenerator(policy, options))
    )

  /** The same over any model. */
  static readonly layerModel = (model: SteppedModel, options: EngineOptions = {}): Layer.Layer<Generator> =>
    Layer.effect(Generator, engineGenerator(model, options))
}
