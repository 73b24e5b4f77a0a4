import { fused, hasKernel, WRITE_VALUES } from "../kernels/names.ts"
import { tf, type Tensor, type Variable } from "../tf.ts"

/**
 * Sets a variable to values of the host, where its own lie unless another tensor shares them: work that was recorded on it
 * stays valid, and no second copy is made on the device.
 *
 * @param variable float32
 * @param values   as many float32 numbers, in the order of its axes
 */
export const writeValues = (variable: Variable, values: Float32Array): void => {
  if (values.length !== variable.size) throw new RangeError(`${values.length} values for ${variable.size} numbers`)
  tf.tidy(() => {
    const written = hasKernel(WRITE_VALUES)
      ? fused<Tensor>(WRITE_VALUES, { target: variable }, { values })
      : tf.tensor(values, variable.shape)
    if (written.dataId !== variable.dataId) variable.assign(written)
  })
}
