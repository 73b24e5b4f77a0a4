import { joinParts, tf, type Tensor, type Tensor1D, type Variable } from "@plumbline/runtime"
import { type TensorValues, tensorValues } from "../safetensors/stored-tensor.ts"

/** Made where it lies: `tf.zeros` would send as many zeros from the host. */
export const zeros = (shape: ReadonlyArray<number>): Variable =>
  tf.tidy(() => tf.variable(tf.fill(shape as Array<number>, 0), false))

/** What all processes have parts of. */
export const joinedParts = (part: Tensor, shape: ReadonlyArray<number>): Variable => {
  const whole = zeros(shape)
  joinParts(whole, part as Tensor1D)
  return whole
}

/** All processes' parts of a tensor, which the first one reads. */
export const joinedValues = (part: Tensor, shape: ReadonlyArray<number>, rank: number): TensorValues => ({
  shape,
  values: async () => {
    const whole = joinedParts(part, shape)
    try {
      return rank === 0 ? await tensorValues(whole).values() : new Float32Array(0)
    } finally {
      whole.dispose()
    }
  }
})
