import {
  isDivided,
  joinedParts,
  joinedValues,
  type Model,
  ownVariable,
  type TensorValues,
  tensorValues
} from "@plumbline/models"
import { narrowed, type ProcessesShape, tf, type Tensor, type Variable } from "@plumbline/runtime"

/**
 * The exact values of trained matrices, where products read narrower ones and several processes train them: each has the
 * whole as products read it and one part in float32, which it updates. With N processes a number takes 2 + 4/N bytes. Of a model
 * that is in parts itself (`Shards`) it has those parts, and 4/N bytes a number.
 *
 * @see Rajbhandari et al. 2020, ZeRO, stage 1, https://arxiv.org/abs/1910.02054
 */
export interface DividedWeights {
  /** Divides them, once they have the values that the run starts from; nothing where products read what there is, or where they are. */
  readonly divide: () => void
  /** This process's part of a variable's exact values, [size / processes]; undefined where the variable has them. */
  readonly partOf: (variable: Variable) => Variable | undefined
  /** A weight's exact values. All processes ask for those of the same weights in the same order; the first gets them. */
  readonly valuesOf: (weight: Tensor) => TensorValues
  /** All processes together ask for the exact values of a model's weights, for the first. */
  readonly read: (model: Model) => Promise<void>
  /** Gives the variables that were divided their exact values back. All processes call it. */
  readonly join: () => void
  readonly dispose: () => void
}

/** @param models those whose folder is the whole model; an adapter's weights are few, and stay as they are */
export const dividedWeights = (models: ReadonlyArray<Model>, processes: ProcessesShape): DividedWeights => {
  const whole = models.filter(({ contents }) => contents === undefined)
  const variables = whole.flatMap((model) => model.variables)
  const parts = new Map<Tensor, Variable>()
  const shardOf = (weight: Tensor): Variable | undefined => {
    for (const { shards } of whole) {
      const part = shards?.partOf(weight)
      if (part !== undefined) return part as Variable
    }
    return undefined
  }
  const partOf = (weight: Tensor): Variable | undefined => parts.get(weight) ?? shardOf(weight)
  const valuesOf = (weight: Tensor): TensorValues => {
    const part = partOf(weight)
    return part === undefined ? tensorValues(weight) : joinedValues(part, weight.shape, processes.rank)
  }
  return {
    divide: () => {
      for (const variable of variables) {
        if (partOf(variable) !== undefined || variable.rank !== 2 || !isDivided(variable.size, processes.size)) continue
        divide(variable, processes, parts)
      }
    },
    partOf,
    valuesOf,
    read: async ({ contents, parameters }) => {
      if (contents !== undefined) return
      for (const weight of parameters.values()) if (partOf(weight) !== undefined) await valuesOf(weight).values()
    },
    join: () => {
      for (const variable of variables) {
        const part = parts.get(variable)
        if (part === undefined) continue
        const whole = joinedParts(part, variable.shape)
        variable.assign(whole)
        tf.dispose([whole, part])
        parts.delete(variable)
      }
    },
    dispose: () => {
      tf.dispose([...parts.values()])
      parts.clear()
    }
  }
}

const divide = (variable: Variable, processes: ProcessesShape, parts: Map<Tensor, Variable>): void =>
  tf.tidy(() => {
    const narrow = narrowed<Tensor>(variable)
    if (narrow.dataId === variable.dataId) return
    parts.set(variable, ownVariable(variable, processes))
    variable.assign(narrow)
  })
