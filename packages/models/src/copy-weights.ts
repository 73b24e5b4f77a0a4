import { ShardingUnsupported, type Tensor, tf } from "@plumbline/runtime"
import type { Model } from "./model.ts"
import { narrowMatrix } from "./narrow-matrix.ts"
import { ownVariables } from "./own-variables.ts"
import { parameterStore } from "./parameter-store.ts"

/**
 * A copy of a model as it is now, frozen unless it is to be moved: a reference policy. Values are shared until the model's
 * next update, which writes into memory of its own; those of a frozen copy are as products read them.
 */
export const copyModel = <M extends Model>(model: M, name: string, trainable: boolean): M => {
  if (model.copy !== undefined) return model.copy(name, trainable) as M
  const store = parameterStore(name, trainable)
  for (const [parameter, tensor] of model.parameters) {
    store.add(parameter, trainable ? tf.clone(tensor) : narrowMatrix(tf.clone(tensor)))
  }
  const { dispose, parameters } = store
  return model.rebuilt({ name, parameters, variables: store.variables(), dispose }) as M
}

export const freeze = <M extends Model>(model: M, name = `${model.name}-frozen`): M => copyModel(model, name, false)

/**
 * Sets what is variable of a model to `tensors`, which must name every such parameter once and nothing else. Values are
 * shared, the tensors stay the caller's.
 */
export const assign = (model: Model, tensors: ReadonlyMap<string, Tensor>): void => {
  refuseShards(model)
  const own = ownVariables(model)
  if (own.size === 0) throw new TypeError(`model ${model.name} is not trainable`)
  const unknown = [...tensors.keys()].find((name) => !own.has(name))
  if (unknown !== undefined) throw new RangeError(`model ${model.name} has no variable ${unknown}`)
  for (const [name, variable] of own) {
    const tensor = tensors.get(name)
    if (tensor === undefined) throw new RangeError(`no value for parameter ${name} of model ${model.name}`)
    variable.assign(tensor)
  }
  model.version.advance()
}

/** Moves what is variable of a model toward another of the same make: target := α·source + (1−α)·target. */
export const blend = (target: Model, source: Model, share: number): void => {
  refuseShards(target)
  if (target.variables.length === 0) throw new TypeError(`model ${target.name} cannot be moved`)
  for (const [name, variable] of ownVariables(target)) {
    tf.tidy(() => variable.assign(tf.add(tf.mul(1 - share, variable), tf.mul(share, source.parameters.get(name)!))))
  }
  target.version.advance()
}

/** Of a model in parts there is no whole to set. */
const refuseShards = ({ contents, name, shards }: Model): void => {
  if (contents !== undefined || shards === undefined) return
  throw new ShardingUnsupported({ reason: `the weights of ${name} cannot be set while they are in parts` })
}
