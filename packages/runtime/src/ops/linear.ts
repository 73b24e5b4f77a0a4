import { tf, type Tensor, type Tensor1D, type Tensor2D } from "../tf.ts"
import { customGradient } from "./custom-gradient.ts"
import { fused, hasKernel, LINEAR } from "../kernels/names.ts"

/**
 * x·Wᵀ + b.
 *
 * @param x      [N, I] float32
 * @param weight [O, I] float32, rows are output features as in Hugging Face checkpoints
 * @param bias   [O] float32
 * @returns      [N, O] float32
 */
export const linear = (x: Tensor2D, weight: Tensor2D, bias?: Tensor1D): Tensor2D =>
  tf.tidy(() => {
    const product = hasKernel(LINEAR) ? fused<Tensor2D>(LINEAR, { x, weight }) : composedLinear(x, weight)
    return bias === undefined ? product : tf.add(product, bias)
  })

export const composedLinear = (x: Tensor2D, weight: Tensor2D): Tensor2D =>
  customGradient([x, weight], (inputs, save) => {
    const [rows, matrix] = inputs as [Tensor2D, Tensor2D]
    save([rows, matrix])
    return { value: tf.matMul(rows, tf.transpose(matrix)), gradFunc: linearGradient }
  }) as Tensor2D

const linearGradient = (dy: Tensor, saved: ReadonlyArray<Tensor>): Array<Tensor> => {
  const [x, weight] = saved as [Tensor2D, Tensor2D]
  return [tf.matMul(dy as Tensor2D, weight), tf.matMul(tf.transpose(dy as Tensor2D), x)]
}
