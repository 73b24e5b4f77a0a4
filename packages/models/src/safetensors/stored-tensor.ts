import { type Tensor, tf, writeValues } from "@plumbline/runtime"

/** A tensor's shape, and its values in float32 when they are asked for. */
export interface TensorValues {
  readonly shape: ReadonlyArray<number>
  readonly values: () => Promise<Float32Array>
}

/** A tensor of a file: one of a model's, or made of several of them. */
export interface StoredTensor extends TensorValues {
  /** Sets what of it is trained; absent where nothing is. */
  readonly restore?: (values: Float32Array) => void
  /** What of it is not trained. */
  readonly frozen: ReadonlyArray<Tensor>
}

/** A device that did not give its values: no fault of the file. `cause` is what it threw. */
export class TensorUnread extends Error {}

export const tensorValues = (tensor: Tensor): TensorValues => ({ shape: tensor.shape, values: () => valuesOf(tensor) })

export const storedTensor = (tensor: Tensor): StoredTensor => ({
  ...tensorValues(tensor),
  frozen: tensor instanceof tf.Variable ? [] : [tensor],
  ...(tensor instanceof tf.Variable && { restore: (values) => writeValues(tensor, values) })
})

/** @param make the tensor as it is now; under `tidy` */
export const composedTensor = (
  make: () => Tensor,
  { frozen, restore, shape }: Required<Omit<StoredTensor, "values">>
): StoredTensor => ({
  shape,
  frozen,
  values: async () => {
    const whole = tf.tidy(make)
    try {
      return await valuesOf(whole)
    } finally {
      whole.dispose()
    }
  },
  restore
})

const valuesOf = async (tensor: Tensor): Promise<Float32Array> => {
  try {
    return (await tensor.data()) as Float32Array
  } catch (cause) {
    throw new TensorUnread("a tensor cannot be read", { cause })
  }
}
