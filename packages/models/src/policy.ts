import type { ModelRuntime } from "@plumbline/runtime"
import { Context, Effect, Layer } from "effect"
import { loadCausalLM } from "./checkpoint/load.ts"
import type { LoadError } from "./errors.ts"
import type { CausalLM } from "./model.ts"

/** A model that lives as long as the layer. */
const loaded = (folder: string, name: string, trainable: boolean) =>
  Effect.acquireRelease(loadCausalLM(folder, { name, trainable }), (model) => Effect.sync(model.dispose))

/** The model being trained. */
export class Policy extends Context.Service<Policy, CausalLM>()("@plumbline/models/Policy") {
  static readonly layerFromFolder = (folder: string): Layer.Layer<Policy, LoadError, ModelRuntime> =>
    Layer.effect(Policy, loaded(folder, "policy", true))
}

/** The frozen model that the policy is kept near to. */
export class ReferencePolicy extends Context.Service<ReferencePolicy, CausalLM>()("@plumbline/models/ReferencePolicy") {
  static readonly layerFromFolder = (folder: string): Layer.Layer<ReferencePolicy, LoadError, ModelRuntime> =>
    Layer.effect(ReferencePolicy, loaded(folder, "reference", false))
}
