import {
  isDivided,
  joinedValues,
  type Model,
  ownValues,
  ownVariable,
  type TensorValues,
  tensorValues,
  zeros
} from "@plumbline/models"
import {
  adamwUpdate,
  type AdamwItem,
  alone,
  type GradientScale,
  joinParts,
  type ProcessesShape,
  tf,
  type NamedTensorMap,
  type Tensor,
  type Tensor1D,
  type Variable,
  writeValues
} from "@plumbline/runtime"
import { Effect } from "effect"
import type { Trainable } from "./algorithm.ts"
import { type DividedWeights, dividedWeights } from "./processes/divided-weights.ts"

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
   * @param gradients     by variable name, as `gradientSum` leaves them; a parameter without one is left alone
   * @param learningRate  rate of this step
   * @param gradientScale factor on every gradient (clipping); a function is called once all else is ready, and where it returns
   *   undefined there is no step
   */
  readonly apply: (gradients: NamedTensorMap, learningRate: number, gradientScale: GradientScale) => void
  /** Steps applied so far. */
  readonly steps: () => number
  /** Whole tensors. Where several processes have parts of them, all ask for the values, in this order; the first gets them. */
  readonly state: () => ReadonlyMap<string, TensorValues>
  /** Goes on after so many steps. @param values of each tensor of the state, whole, which are asked for one after the other */
  readonly restore: <E>(
    steps: number,
    values: (name: string, shape: ReadonlyArray<number>) => Effect.Effect<Float32Array, E>
  ) => Effect.Effect<void, E>
  /** The exact values of what it updates, where several processes have these in parts. */
  readonly weights: DividedWeights
  /** What the other processes do while the first one reads these models' exact values, and then the state. */
  readonly readParts: (models: ReadonlyArray<Model>) => Promise<void>
  /** After the last step: frees the state, and then gives the variables their exact values back. All processes call it. */
  readonly finish: () => void
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

interface Slot extends NamedParameter {
  readonly weightDecay: number
  /** Of the whole parameter, or of this process's part of it. */
  readonly first: Variable
  readonly second: Variable
  readonly divided: boolean
}

/**
 * AdamW with float32 moments kept by parameter name. Several processes have the moments of large parameters in parts,
 * each update theirs, and give one another the results.
 *
 * @see Loshchilov & Hutter 2017, https://arxiv.org/abs/1711.05101
 */
export const adamw = (
  models: Trainable,
  { beta1, beta2, epsilon, weightDecay }: AdamwOptions,
  processes: ProcessesShape = alone
): Optimizer => {
  const { rank, size } = processes
  const slots = namedParameters(models).map(({ name, rate, variable }): Slot => {
    const divided = isDivided(variable.size, size)
    const shape = divided ? [variable.size / size] : variable.shape
    const decays = variable.rank >= 2 ? weightDecay : 0
    return { name, variable, rate, weightDecay: decays, divided, first: zeros(shape), second: zeros(shape) }
  })
  const weights = dividedWeights(Object.values(models), processes)
  const trained = Object.values(models).filter(({ variables }) => variables.length > 0)
  const isShard = (variable: Variable) => trained.some(({ shards }) => shards?.partOf(variable) !== undefined)
  const state = () =>
    new Map(
      slots.flatMap(({ divided, first, name, second, variable: { shape } }) => {
        const whole = (moment: Variable) => (divided ? joinedValues(moment, shape, rank) : tensorValues(moment))
        return [
          [`first/${name}`, whole(first)],
          [`second/${name}`, whole(second)]
        ] as const
      })
    )
  const freeState = () => {
    for (const { first, second } of slots) tf.dispose([first, second])
  }
  let steps = 0
  return {
    weights,
    apply: (gradients, learningRate, gradientScale) => {
      const updated = slots.filter(({ variable }) => gradients[variable.name] !== undefined)
      const kept = updated.map(({ variable }) => weights.partOf(variable))
      const parts = updated.map(
        ({ divided, variable }, i) => kept[i] ?? (divided ? ownVariable(variable, processes) : undefined)
      )
      const items = updated.map(({ first, rate, second, variable, weightDecay }, i): AdamwItem => ({
        parameter: parts[i] ?? variable,
        gradient: gradients[variable.name]!,
        firstMoment: first,
        secondMoment: second,
        weightDecay,
        rate
      }))
      let scale: number | undefined
      const scaled = () => (scale = typeof gradientScale === "number" ? gradientScale : gradientScale())
      adamwUpdate(items, { learningRate, beta1, beta2, epsilon, step: steps + 1, gradientScale: scaled })
      if (scale === undefined) {
        parts.forEach((part, i) => kept[i] === undefined && part?.dispose())
        return
      }
      steps += 1
      parts.forEach((part, i) => {
        const { variable } = updated[i]!
        if (part === undefined || isShard(variable)) return
        joinParts(variable, part as Tensor as Tensor1D)
        if (kept[i] === undefined) part.dispose()
      })
      for (const { shards, version } of trained) {
        shards?.rest()
        version.advance()
      }
    },
    steps: () => steps,
    state,
    readParts: async (saved) => {
      for (const model of saved) await weights.read(model)
      for (const { values } of state().values()) await values()
    },
    restore: Effect.fnUntraced(function* (restored, values) {
      steps = restored
      for (const { version } of trained) version.set(steps)
      for (const { first, name, second, variable } of slots) {
        writeValues(first, ownValues(yield* values(`first/${name}`, variable.shape), first, processes))
        writeValues(second, ownValues(yield* values(`second/${name}`, variable.shape), second, processes))
      }
    }),
    finish: () => {
      freeState()
      weights.join()
    },
    dispose: () => {
      freeState()
      weights.dispose()
    }
  }
}

/** Factor that brings a gradient of global norm `norm` to at most `maxNorm`; 0 or less = no clipping. */
export const clipScale = (norm: number, maxNorm: number): number =>
  maxNorm > 0 ? Math.min(1, maxNorm / (norm + 1e-6)) : 1
