import type { Model } from "@plumbline/models"
import { adamwUpdate, tf, type NamedTensorMap, type Tensor, type Variable } from "@plumbline/runtime"
import type { Trainable } from "./algorithm.ts"

export interface AdamwOptions {
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
  /** Decoupled decay of matrices; vectors (biases, norms) are not decayed. */
  readonly weightDecay: number
}

/** An optimizer over named parameters. Its state is a map of tensors, so it can be saved and restored exactly. */
export interface Optimizer {
  /**
   * One step in place.
   *
   * @param gradients     by variable name; a parameter without one is left alone
   * @param learningRate  rate of this step
   * @param gradientScale factor on every gradient (clipping)
   */
  readonly apply: (gradients: NamedTensorMap, learningRate: number, gradientScale: number) => void
  /** Steps applied so far. */
  readonly steps: () => number
  readonly state: () => ReadonlyMap<string, Tensor>
  /** Values are shared until the next step; the tensors stay the caller's. */
  readonly restore: (steps: number, state: ReadonlyMap<string, Tensor>) => void
  readonly dispose: () => void
}

export interface NamedParameter {
  /** role/name, e.g. "policy/model.embed_tokens.weight" */
  readonly name: string
  readonly variable: Variable
  /** Factor on the learning rate. */
  readonly rate: number
}

/** What a step updates, in a fixed order. */
export const namedParameters = (models: Trainable): ReadonlyArray<NamedParameter> =>
  Object.entries(models).flatMap(([role, model]) => modelParameters(role, model))

const modelParameters = (role: string, model: Model): ReadonlyArray<NamedParameter> => {
  const trainable = new Set<Tensor>(model.variables)
  return [...model.parameters]
    .filter(([, tensor]) => trainable.has(tensor))
    .map(([name, tensor]) => ({
      name: `${role}/${name}`,
      variable: tensor as Variable,
      rate: model.rateOf?.(tensor as Variable) ?? 1
    }))
}

/**
 * AdamW with float32 moments kept by parameter name.
 *
 * @see Loshchilov & Hutter 2017, https://arxiv.org/abs/1711.05101
 */
export const adamw = (models: Trainable, { beta1, beta2, epsilon, weightDecay }: AdamwOptions): Optimizer => {
  const slots = namedParameters(models).map(({ name, rate, variable }) => ({
    name,
    variable,
    rate,
    weightDecay: variable.rank >= 2 ? weightDecay : 0,
    first: zeroMoment(variable),
    second: zeroMoment(variable)
  }))
  const trained = Object.values(models).filter(({ variables }) => variables.length > 0)
  let steps = 0
  return {
    apply: (gradients, learningRate, gradientScale) => {
      steps += 1
      const items = slots.flatMap(({ first, rate, second, variable, weightDecay }) => {
        const gradient = gradients[variable.name]
        if (gradient === undefined) return []
        return [{ parameter: variable, gradient, firstMoment: first, secondMoment: second, weightDecay, rate }]
      })
      adamwUpdate(items, { learningRate, beta1, beta2, epsilon, step: steps, gradientScale })
      for (const { version } of trained) version.advance()
    },
    steps: () => steps,
    state: () =>
      new Map(
        slots.flatMap(
          ({ first, name, second }) =>
            [
              [`first/${name}`, first],
              [`second/${name}`, second]
            ] as const
        )
      ),
    restore: (restored, state) => {
      steps = restored
      for (const { version } of trained) version.set(steps)
      for (const { first, name, second } of slots) {
        first.assign(required(state, `first/${name}`))
        second.assign(required(state, `second/${name}`))
      }
    },
    dispose: () => {
      for (const { first, second } of slots) tf.dispose([first, second])
    }
  }
}

/** Made where it lies: `tf.zeros` would send as many zeros from the host. */
const zeroMoment = (parameter: Variable): Variable => tf.tidy(() => tf.variable(tf.fill(parameter.shape, 0), false))

const required = (state: ReadonlyMap<string, Tensor>, name: string): Tensor => {
  const tensor = state.get(name)
  if (tensor === undefined) throw new Error(`the optimizer state has no "${name}"`)
  return tensor
}

/** Factor that brings a gradient of global norm `norm` to at most `maxNorm`; 0 or less = no clipping. */
export const clipScale = (norm: number, maxNorm: number): number =>
  maxNorm > 0 ? Math.min(1, maxNorm / (norm + 1e-6)) : 1
