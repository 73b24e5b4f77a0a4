import { narrowed, ownPart, type ProcessesShape, type Tensor, tf, withoutValues } from "@plumbline/runtime"
import { causalLM } from "../causal-lm.ts"
import type { DecoderConfig, JsonObject } from "../config/decoder-config.ts"
import { parameterWeights } from "../decoder/weights.ts"
import type { CausalLM } from "../model.ts"
import { narrowMatrix } from "../narrow-matrix.ts"
import { parameterStore } from "../parameter-store.ts"
import { isSharded, ownVariable } from "./parts.ts"
import { outputPlace, placesOf } from "./places.ts"
import { type Shard, shardsOf } from "./shards.ts"

/** What a model in parts is, besides its parameters. */
export interface ShardedModel {
  readonly name: string
  readonly config: DecoderConfig
  readonly generationConfig?: JsonObject | undefined
  readonly trainable: boolean
  readonly processes: ProcessesShape
}

/** Takes the parameters of a model one after the other, and keeps this process's part of each large matrix. */
export interface ShardedStore {
  /** Takes `tensor` over as the parameter `name`. */
  readonly add: (name: string, tensor: Tensor) => void
  /** The model of what was added, which disposes of it. */
  readonly model: () => CausalLM
  readonly dispose: () => void
}

export const shardedStore = (kind: ShardedModel): ShardedStore => {
  const { add, addPart, dispose, model } = partsStore(kind)
  const { processes, trainable } = kind
  return {
    add: (name, tensor) => {
      if (!isSharded(tensor.shape, processes)) return add(name, tensor)
      addPart(name, tensor.shape, trainable ? ownVariable(tensor, processes) : frozenPart(tensor, processes))
      tensor.dispose()
    },
    model,
    dispose
  }
}

/** The same, which takes parts as they are. */
const partsStore = (kind: ShardedModel) => {
  const { config, generationConfig, name, processes, trainable } = kind
  const { add, dispose: disposeOfWholes, parameters, variables } = parameterStore(name, trainable)
  const shards: Array<Shard> = []
  const dispose = () => {
    disposeOfWholes()
    tf.dispose(shards.splice(0).map(({ part }) => part))
  }
  return {
    add: (parameter: string, tensor: Tensor) => add(parameter, trainable ? tensor : narrowMatrix(tensor)),
    addPart: (parameter: string, shape: ReadonlyArray<number>, part: Tensor) => {
      add(parameter, withoutValues(shape))
      shards.push({ whole: parameters.get(parameter)!, part, places: placesOf(config, parameter) })
    },
    dispose,
    model: (): CausalLM => {
      const own = shardsOf(shards, outputPlace(config), processes)
      return causalLM({
        name,
        config,
        generationConfig,
        parameters,
        variables: variables(),
        weights: parameterWeights(parameters, own.need),
        shards: own,
        copy: (copied, moves) => copyOf({ ...kind, name: copied, trainable: moves }, parameters, own.partOf),
        dispose
      })
    }
  }
}

/** As products read it. */
const frozenPart = (tensor: Tensor, { rank, size }: ProcessesShape): Tensor =>
  tf.tidy(() => tf.keep(narrowed<Tensor>(ownPart(tensor, rank, size))))

const copyOf = (
  kind: ShardedModel,
  parameters: ReadonlyMap<string, Tensor>,
  partOf: (parameter: Tensor) => Tensor | undefined
): CausalLM => {
  const { add, addPart, model } = partsStore(kind)
  for (const [name, tensor] of parameters) {
    const part = partOf(tensor)
    if (part === undefined) add(name, tf.clone(tensor))
    else addPart(name, tensor.shape, kind.trainable ? tf.variable(part, false) : tf.keep(narrowed(part)))
  }
  return model()
}
