import { ModelRuntime, Processes, ShardingUnsupported, type Tensor, tf, type Variable } from "@plumbline/runtime"
import { Effect, Exit } from "effect"
import { causalLM } from "../causal-lm.ts"
import { causalParameters } from "../decoder/parameter-table.ts"
import { quantisedStore } from "../decoder/quantised-weights.ts"
import type { LoadError } from "../errors.ts"
import { builtInFamilies } from "../families/families.ts"
import type { Family } from "../families/family.ts"
import type { CausalLM } from "../model.ts"
import { narrowMatrix } from "../narrow-matrix.ts"
import { parameterStore } from "../parameter-store.ts"
import { type ShardedModel, shardedStore } from "../processes/sharded-store.ts"
import { readConfig, readGenerationConfig } from "./folder.ts"
import { readParameters } from "./read-parameters.ts"

export interface LoadOptions {
  /** Whether the parameters are variables that an optimizer may update. */
  readonly trainable: boolean
  readonly name: string
  /** Whether linear layers are kept in 4 bits (NF4), for a model that nothing trains; false when absent. */
  readonly quantised?: boolean
  /** The families config.json may name; the built-in ones when absent. */
  readonly families?: ReadonlyArray<Family>
}

/**
 * Loads a Hugging Face model folder. The caller disposes of the model. Where the processes of a run share weights, each keeps its
 * part of the large matrices.
 */
export const loadCausalLM = Effect.fn("loadCausalLM")(function* (
  folder: string,
  { families = builtInFamilies, name, quantised = false, trainable }: LoadOptions
): Effect.fn.Return<CausalLM, LoadError, ModelRuntime> {
  yield* ModelRuntime
  const config = yield* readConfig(folder, families)
  const generationConfig = yield* readGenerationConfig(folder)
  const processes = yield* Processes
  if (processes.sharding === "full") {
    if (quantised) {
      return yield* new ShardingUnsupported({
        reason: "matrices in 4 bits cannot be held in parts yet: leave out --quantised"
      })
    }
    return yield* loadShards(folder, { name, config, generationConfig, trainable, processes })
  }
  const store = quantised ? quantisedStore(config, narrowMatrix) : plainStore(name, trainable)
  yield* readParameters(folder, config, causalParameters(config), (spec, values) =>
    store.add(spec.name, tf.tensor(values, [...spec.shape]))
  ).pipe(Effect.onExit((exit) => Effect.sync(() => Exit.isFailure(exit) && store.dispose())))
  const { dispose, parameters, weights } = store
  const variables = quantised || !trainable ? [] : ([...parameters.values()] as Array<Variable>)
  return causalLM({ name, config, generationConfig, parameters, variables, weights, dispose })
})

/** Of a whole matrix this process has one at a time. */
const loadShards = Effect.fnUntraced(function* (folder: string, kind: ShardedModel) {
  const store = shardedStore(kind)
  yield* readParameters(folder, kind.config, causalParameters(kind.config), (spec, values) =>
    store.add(spec.name, tf.tensor(values, [...spec.shape]))
  ).pipe(Effect.onExit((exit) => Effect.sync(() => Exit.isFailure(exit) && store.dispose())))
  return store.model()
})

/** Every parameter as it is; the matrices of a frozen model as products read them. */
const plainStore = (name: string, trainable: boolean) => {
  const { add, dispose, parameters } = parameterStore(name, trainable)
  return {
    parameters,
    weights: undefined,
    add: (parameter: string, tensor: Tensor) => add(parameter, trainable ? tensor : narrowMatrix(tensor)),
    dispose
  }
}
