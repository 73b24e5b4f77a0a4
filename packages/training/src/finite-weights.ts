import { type ProcessesShape, tf, type Tensor } from "@plumbline/runtime"
import { Effect } from "effect"
import type { Trainable } from "./algorithm.ts"
import { NonFiniteWeights } from "./errors.ts"

/**
 * The first parameter that holds a NaN or an infinity, as `role/name`. Reads every weight: for runs that fail, and before
 * weights are saved. All processes ask, as each may have other parts.
 */
export const firstNotFinite = (models: Trainable, { exchange }: ProcessesShape): string | undefined => {
  const parameters = Object.entries(models).flatMap(([role, model]) =>
    [...model.parameters].map(([name, tensor]) => ({
      name: `${role}/${name}`,
      own: model.shards?.partOf(tensor) ?? tensor
    }))
  )
  const found = exchange(parameters.findIndex(({ own }) => !isFinite(own))).filter((place) => place >= 0)
  return found.length === 0 ? undefined : parameters[Math.min(...found)]!.name
}

/** Before weights are saved. The next step's loss would show it, but after the last one there is none. */
export const checkFinite = (
  models: Trainable,
  processes: ProcessesShape,
  step: number
): Effect.Effect<void, NonFiniteWeights> =>
  Effect.suspend(() => {
    const weight = firstNotFinite(models, processes)
    return weight === undefined ? Effect.void : Effect.fail(new NonFiniteWeights({ step, weight }))
  })

/** 0 · x is 0 where x is finite; backends without a kernel for finiteness have one for this. */
const isFinite = (tensor: Tensor): boolean =>
  tensor.dtype !== "float32" || tf.tidy(() => tf.sum(tf.mul(tensor, 0)).dataSync()[0]) === 0
