import { ADD_BIAS, fused, hasKernel, LINEAR, LINEARS } from "../kernels/names.ts"
import { tf, type Tensor, type Tensor1D, type Tensor2D } from "../tf.ts"
import { customGradient } from "./custom-gradient.ts"

/**
 * x·Wᵀ + b.
 *
 * @param x      [N, I] float32
 * @param weight [O, I] float32, rows are output features as in Hugging Face checkpoints
 * @param bias   [O] float32
 * @returns      [N, O] float32
 */
export const linear = (x: Tensor2D, weight: Tensor2D, bias?: Tensor1D): Tensor2D =>
  withBias(hasKernel(LINEAR) ? fused<Tensor2D>(LINEAR, { x, weight }) : tf.tidy(() => composedLinear(x, weight)), bias)

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

/**
 * Several linear layers on one input, as one product where the backend can.
 *
 * @param x       [N, I] float32
 * @param weights [Oᵢ, I] float32 each, with their biases [Oᵢ]
 * @returns       [N, Oᵢ] float32 each
 */
export const linears = (
  x: Tensor2D,
  weights: ReadonlyArray<readonly [weight: Tensor2D, bias: Tensor1D | undefined]>
): ReadonlyArray<Tensor2D> => {
  if (!hasKernel(LINEARS)) return weights.map(([weight, bias]) => linear(x, weight, bias))
  const products = fused<Array<Tensor>>(LINEARS, [x, ...weights.map(([weight]) => weight)])
  return weights.map(([, bias], i) => withBias(products[i] as Tensor2D, bias))
}

/** The product is given up: the sum may lie in its place. */
const withBias = (product: Tensor2D, bias: Tensor1D | undefined): Tensor2D => {
  if (bias === undefined) return product
  const sum = hasKernel(ADD_BIAS)
    ? fused<Tensor2D>(ADD_BIAS, { x: product, bias })
    : (tf.add(product, bias) as Tensor2D)
  product.dispose()
  return sum
}
