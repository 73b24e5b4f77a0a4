import { type Tensor, tf, type Variable } from "@plumbline/runtime"
import { causalLM } from "./causal-lm.ts"
import type { CausalLM, Model } from "./model.ts"
import { parameterStore } from "./parameter-store.ts"

/**
 * A frozen copy of a model as it is now: a reference policy. The values are shared until the model's next update,
 * which writes into memory of its own.
 */
export const freeze = (model: CausalLM, name = `${model.name}-frozen`): CausalLM => {
  const store = parameterStore(name, false)
  for (const [parameter, tensor] of model.parameters) store.add(parameter, tf.clone(tensor))
  const { config, generationConfig } = model
  return causalLM({
    name,
    config,
    generationConfig,
    parameters: store.parameters,
    variables: [],
    dispose: store.dispose
  })
}

/**
 * Sets a trainable model's weights to `tensors`, which must name every parameter once and nothing else. Values are
 * shared, the tensors stay the caller's.
 */
export const assign = (model: Model, tensors: ReadonlyMap<string, Tensor>): void => {
  if (model.variables.length !== model.parameters.size) throw new TypeError(`model ${model.name} is not trainable`)
  const unknown = [...tensors.keys()].find((name) => !model.parameters.has(name))
  if (unknown !== undefined) throw new RangeError(`model ${model.name} has no parameter ${unknown}`)
  for (const [name, variable] of model.parameters as ReadonlyMap<string, Variable>) {
    const tensor = tensors.get(name)
    if (tensor === undefined) throw new RangeError(`no value for parameter ${name} of model ${model.name}`)
    variable.assign(tensor)
  }
  model.version.advance()
}

/** Moves a model's weights toward those of another of the same architecture: target := α·source + (1−α)·target. */
export const blend = (target: Model, source: Model, share: number): void => {
  if (target.variables.length !== target.parameters.size) throw new TypeError(`model ${target.name} cannot be moved`)
  for (const [name, variable] of target.parameters as ReadonlyMap<string, Variable>) {
    tf.tidy(() => variable.assign(tf.add(tf.mul(1 - share, variable), tf.mul(share, source.parameters.get(name)!))))
  }
  target.version.advance()
}
